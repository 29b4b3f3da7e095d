-- Deploy customer_monthly_snapshot:fct_customer_business_monthly_status to pg
-- requires: missing_snapshot_sources
-- The fact table: a periodic snapshot, one row per month, customer and product line.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

SELECT to_regclass('customer.fct_customer_business_monthly_status') IS NOT NULL AS table_exists
\gset

\if :table_exists

-- Alembic made the table earlier: sqitch deploy --set adopt=true turns it into ours, in
-- place, so that its rows, grants and the views over it stay.

\if :{?adopt}
\else
    \set adopt false
\endif

-- The block below sees settings, but not psql's variables.
SELECT set_config('customer.adopt_snapshots', :'adopt', TRUE) AS adopt
\gset

DO $$
DECLARE
    v_table CONSTANT regclass := 'customer.fct_customer_business_monthly_status';
    v_owner CONSTANT name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = v_table);
    v_kind CONSTANT text := (
        SELECT CASE relkind
            WHEN 'r' THEN 'table'
            WHEN 'p' THEN 'partitioned table'
            WHEN 'v' THEN 'view'
            WHEN 'm' THEN 'materialized view'
            ELSE relkind::text
        END
        FROM pg_class
        WHERE oid = v_table
    );
    v_problems text;
    v_primary_key record;
    v_index record;
    v_trigger record;
    v_constraint record;
BEGIN
    IF NOT current_setting('customer.adopt_snapshots')::boolean THEN
        RAISE EXCEPTION 'table % exists already', v_table
            USING
                ERRCODE = 'duplicate_table',
                HINT = 'To adopt it and keep its rows: "sqitch deploy --set adopt=true". Nothing has been changed.';
    END IF;

    -- Another role may not be allowed to; the list of problems tells it why.
    IF v_owner = current_user AND v_kind = 'table' THEN
        LOCK TABLE customer.fct_customer_business_monthly_status IN ACCESS EXCLUSIVE MODE;
    END IF;

    SELECT conname AS name, pg_get_constraintdef(oid) AS definition
    INTO v_primary_key
    FROM pg_constraint
    WHERE conrelid = v_table
        AND contype = 'p';

    SELECT string_agg(format('%s: %s expected, %s found', name, expected, coalesce(actual, 'none')), E'\n    ' ORDER BY name COLLATE "C")
    INTO v_problems
    FROM (
        SELECT
            'column ' || name AS name,
            expected,
            format_type(atttypid, atttypmod)
                || CASE WHEN attcollation = typcollation THEN '' ELSE ' COLLATE ' || attcollation::regcollation END AS actual
        FROM (
            VALUES
                ('snapshot_month', 'date'),
                ('company_id', 'character varying'),
                ('product_line_code', 'character varying(20)'),
                ('product_line_name', 'character varying(50)'),
                ('is_strategic', 'boolean'),
                ('is_existing', 'boolean'),
                ('is_new', 'boolean'),
                ('is_winning_this_year', 'boolean'),
                ('is_churned_this_year', 'boolean'),
                ('aum_balance', 'numeric(20,2)'),
                ('plan_count', 'integer'),
                ('updated_at', 'timestamp with time zone')
        ) AS our_column (name, expected)
        LEFT JOIN pg_attribute
            ON attrelid = v_table
            AND attname = name
            AND NOT attisdropped
        LEFT JOIN pg_type
            ON pg_type.oid = atttypid
        UNION ALL
        -- The package would have no value for it.
        SELECT 'column ' || attname, 'none, or a default', 'NOT NULL without default'
        FROM pg_attribute
        WHERE attrelid = v_table
            AND attnum > 0
            AND attnotnull
            AND NOT atthasdef
            AND attidentity = ''
            AND NOT attisdropped
            AND attname NOT IN (
                'snapshot_month', 'company_id', 'product_line_code', 'product_line_name',
                'is_strategic', 'is_existing', 'is_new', 'is_winning_this_year',
                'is_churned_this_year', 'aum_balance', 'plan_count', 'updated_at'
            )
        UNION ALL
        -- One that is missing is added below.
        SELECT 'primary key', 'PRIMARY KEY (snapshot_month, company_id, product_line_code)', v_primary_key.definition
        WHERE v_primary_key.name IS NOT NULL
        UNION ALL
        -- Refreshing would meet rows that it refuses.
        SELECT 'index ' || indexrelid::regclass, 'not unique', 'unique'
        FROM pg_index
        WHERE indrelid = v_table
            AND indisunique
            AND NOT indisprimary
            AND NOT indkey::smallint[] @> ARRAY(
                SELECT attnum
                FROM pg_attribute
                WHERE attrelid = v_table
                    AND attname IN ('snapshot_month', 'company_id', 'product_line_code')
            )
        UNION ALL
        SELECT 'kind', 'table', v_kind
        UNION ALL
        SELECT 'owner', current_user, v_owner
        UNION ALL
        SELECT 'row security', 'off', CASE WHEN relrowsecurity THEN 'on' ELSE 'off' END
        FROM pg_class
        WHERE oid = v_table
    ) AS comparison
    WHERE actual IS DISTINCT FROM expected;

    IF v_problems IS NOT NULL THEN
        RAISE EXCEPTION E'table % cannot be adopted:\n    %', v_table, v_problems
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Alter the table, or rename it and deploy without it. Nothing has been changed.';
    END IF;

    SELECT string_agg(problem, E'\n    ' ORDER BY position)
    INTO v_problems
    FROM (
        SELECT position, format('%s: %s rows', concat_ws(', such as ', what, min(example)), count(*)) AS problem
        FROM (
            SELECT
                snapshot_month,
                company_id,
                product_line_code,
                product_line_name,
                coalesce(to_char(snapshot_month, 'YYYY-MM-DD'), snapshot_month::text) AS month_label,
                count(*) OVER (PARTITION BY snapshot_month, company_id, product_line_code) AS same_key
            FROM customer.fct_customer_business_monthly_status
        ) AS snapshot
        CROSS JOIN LATERAL (
            VALUES
                (1, 'snapshot_month is NULL', snapshot_month IS NULL, NULL),
                (2, 'company_id is NULL', company_id IS NULL, NULL),
                (3, 'product_line_code is NULL', product_line_code IS NULL, NULL),
                (4, 'product_line_name is NULL', product_line_name IS NULL, NULL),
                (
                    5,
                    'snapshot_month is not the last day of a month',
                    NOT isfinite(snapshot_month) OR extract(day FROM snapshot_month + 1) <> 1,
                    month_label
                ),
                (
                    6,
                    'snapshot_month, company_id and product_line_code are those of another row',
                    same_key > 1,
                    concat_ws(' ', month_label, company_id, product_line_code)
                ),
                (
                    7,
                    'company_id is not in customer."年金客户"',
                    company_id IS NOT NULL AND NOT EXISTS (
                        SELECT FROM customer."年金客户" AS customer WHERE customer.company_id = snapshot.company_id
                    ),
                    company_id
                ),
                (
                    8,
                    'product_line_code is not in mapping."产品线"',
                    product_line_code IS NOT NULL AND NOT EXISTS (
                        SELECT FROM mapping."产品线" WHERE "产品线代码" = product_line_code
                    ),
                    product_line_code
                )
        ) AS possible (position, what, is_so, example)
        WHERE is_so
        GROUP BY position, what
    ) AS bad_data;

    IF v_problems IS NOT NULL THEN
        RAISE EXCEPTION E'table % cannot be adopted, because it holds what a snapshot cannot:\n    %', v_table, v_problems
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Correct or delete these rows and deploy again. Nothing has been changed.';
    END IF;

    -- Its own timestamp trigger gives way to ours: one whose function does nothing but assign
    -- NEW.updated_at, under a condition or not, or is contrib's moddatetime. What does more
    -- is for its owner to judge.
    FOR v_trigger IN
        SELECT
            tgname AS name,
            tgfoid::regprocedure AS function,
            tgfoid::regprocedure::text AS function_name,
            tgtype & 16 <> 0 AS is_for_update,
            prosrc = 'moddatetime' AND encode(tgargs, 'escape') = E'updated_at\\000'
                OR without_comments ~* (
                    E'^\\s*begin\\s+(if\\s[^;]*\\sthen\\s+)?"?new"?\\s*\\.\\s*"?updated_at"?\\s*:?=[^;]*;'
                    || E'\\s*(end\\s+if\\s*;\\s*)?return\\s+new\\s*;\\s*end\\s*;?\\s*$'
                ) AS is_timestamp,
            pg_get_userbyid(proowner) = current_user AND NOT EXISTS (
                SELECT
                FROM pg_depend
                WHERE classid = 'pg_proc'::regclass
                    AND objid = tgfoid
                    AND deptype = 'e'
            ) AS is_own_function
        FROM pg_trigger
        JOIN pg_proc
            ON pg_proc.oid = tgfoid
        CROSS JOIN regexp_replace(
            regexp_replace(prosrc, E'/\\*.*?\\*/', ' ', 'g'), E'--[^\\n\\r]*', ' ', 'g'
        ) AS without_comments
        WHERE tgrelid = v_table
            AND NOT tgisinternal
            -- Before, and for each row; no other can set a value.
            AND tgtype & 3 = 3
        ORDER BY tgname
    LOOP
        IF v_trigger.is_timestamp THEN
            EXECUTE format('DROP TRIGGER %I ON %s', v_trigger.name, v_table);
            RAISE NOTICE 'trigger % is dropped: trg_snapshot_updated_at takes its place', v_trigger.name;

            IF v_trigger.is_own_function AND NOT EXISTS (
                SELECT
                FROM pg_depend
                WHERE refclassid = 'pg_proc'::regclass
                    AND refobjid = v_trigger.function
            ) THEN
                EXECUTE format('DROP FUNCTION %s', v_trigger.function_name);
                RAISE NOTICE 'function % is dropped: nothing else used it', v_trigger.function_name;
            END IF;
        ELSIF v_trigger.is_for_update THEN
            RAISE NOTICE 'trigger % stays: see that it leaves updated_at to the package', v_trigger.name;
        END IF;
    END LOOP;

    -- They are made anew below, whatever they were like.
    FOR v_index IN
        SELECT relname AS name, pg_get_indexdef(indexrelid) AS definition
        FROM pg_index
        JOIN pg_class
            ON pg_class.oid = indexrelid
        WHERE indrelid = v_table
            AND relname IN (
                'idx_snapshot_month', 'idx_snapshot_company', 'idx_snapshot_product_line',
                'idx_snapshot_month_product', 'idx_snapshot_month_brin', 'idx_snapshot_strategic'
            )
        ORDER BY relname
    LOOP
        EXECUTE format('DROP INDEX customer.%I', v_index.name);
        RAISE NOTICE 'index % gives way to the package''s: %', v_index.name, v_index.definition;
    END LOOP;

    -- What the old service left empty. updated_at stays as it is.
    UPDATE customer.fct_customer_business_monthly_status
    SET
        is_strategic = coalesce(is_strategic, FALSE),
        is_existing = coalesce(is_existing, FALSE),
        is_new = coalesce(is_new, FALSE),
        is_winning_this_year = coalesce(is_winning_this_year, FALSE),
        is_churned_this_year = coalesce(is_churned_this_year, FALSE),
        aum_balance = coalesce(aum_balance, 0),
        plan_count = coalesce(plan_count, 0),
        updated_at = coalesce(updated_at, CURRENT_TIMESTAMP)
    WHERE num_nulls(
        is_strategic, is_existing, is_new, is_winning_this_year, is_churned_this_year,
        aum_balance, plan_count, updated_at
    ) > 0;

    -- Foreign keys are checked at the end of the statement, and a table with checks to come
    -- cannot be altered.
    SET CONSTRAINTS ALL IMMEDIATE;

    -- What would stand beside ours, or in its way; ours are made anew, whatever they were like.
    FOR v_constraint IN
        SELECT conname AS name, pg_get_constraintdef(oid) AS definition
        FROM pg_constraint
        WHERE conrelid = v_table
            AND (
                conname IN ('fk_snapshot_company', 'fk_snapshot_product_line', 'chk_snapshot_month_end')
                OR contype = 'f' AND EXISTS (
                    SELECT
                    FROM pg_attribute
                    WHERE attrelid = conrelid
                        AND conkey = ARRAY[attnum]
                        AND attname IN ('company_id', 'product_line_code')
                )
            )
        ORDER BY conname
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', v_table, v_constraint.name);
        RAISE NOTICE 'constraint % gives way to the package''s: %', v_constraint.name, v_constraint.definition;
    END LOOP;

    ALTER TABLE customer.fct_customer_business_monthly_status
        ALTER COLUMN snapshot_month SET NOT NULL,
        ALTER COLUMN company_id SET NOT NULL,
        ALTER COLUMN product_line_code SET NOT NULL,
        ALTER COLUMN product_line_name SET NOT NULL,
        ALTER COLUMN is_strategic SET NOT NULL,
        ALTER COLUMN is_strategic SET DEFAULT FALSE,
        ALTER COLUMN is_existing SET NOT NULL,
        ALTER COLUMN is_existing SET DEFAULT FALSE,
        ALTER COLUMN is_new SET NOT NULL,
        ALTER COLUMN is_new SET DEFAULT FALSE,
        ALTER COLUMN is_winning_this_year SET NOT NULL,
        ALTER COLUMN is_winning_this_year SET DEFAULT FALSE,
        ALTER COLUMN is_churned_this_year SET NOT NULL,
        ALTER COLUMN is_churned_this_year SET DEFAULT FALSE,
        ALTER COLUMN aum_balance SET NOT NULL,
        ALTER COLUMN aum_balance SET DEFAULT 0,
        ALTER COLUMN plan_count SET NOT NULL,
        ALTER COLUMN plan_count SET DEFAULT 0,
        ALTER COLUMN updated_at SET NOT NULL,
        ALTER COLUMN updated_at SET DEFAULT CURRENT_TIMESTAMP,
        ADD CONSTRAINT fk_snapshot_company FOREIGN KEY (company_id)
            REFERENCES customer."年金客户" (company_id),
        ADD CONSTRAINT fk_snapshot_product_line FOREIGN KEY (product_line_code)
            REFERENCES mapping."产品线" ("产品线代码"),
        ADD CONSTRAINT chk_snapshot_month_end CHECK (
            isfinite(snapshot_month) AND extract(day FROM snapshot_month + 1) = 1
        ),
        SET (fillfactor = 80),
        SET LOGGED;

    IF v_primary_key.name IS NULL THEN
        ALTER TABLE customer.fct_customer_business_monthly_status
            ADD PRIMARY KEY (snapshot_month, company_id, product_line_code);
    ELSIF v_primary_key.name <> 'fct_customer_business_monthly_status_pkey' THEN
        EXECUTE format(
            'ALTER TABLE %s RENAME CONSTRAINT %I TO fct_customer_business_monthly_status_pkey',
            v_table, v_primary_key.name
        );
    END IF;

    IF EXISTS (
        SELECT
        FROM pg_class
        CROSS JOIN aclexplode(relacl)
        WHERE oid = v_table
            AND grantee = 0
        UNION ALL
        SELECT
        FROM pg_attribute
        CROSS JOIN aclexplode(attacl)
        WHERE attrelid = v_table
            AND grantee = 0
    ) THEN
        RAISE NOTICE 'what is granted to PUBLIC is revoked: grant it to those who need it';
    END IF;

    RAISE NOTICE 'table % is adopted with its % rows', v_table, (
        SELECT count(*)
        FROM customer.fct_customer_business_monthly_status
    );
END
$$;

\else

CREATE TABLE customer.fct_customer_business_monthly_status (
    snapshot_month DATE NOT NULL,
    company_id VARCHAR NOT NULL,
    product_line_code VARCHAR(20) NOT NULL,
    product_line_name VARCHAR(50) NOT NULL,
    is_strategic BOOLEAN NOT NULL DEFAULT FALSE,
    is_existing BOOLEAN NOT NULL DEFAULT FALSE,
    is_new BOOLEAN NOT NULL DEFAULT FALSE,
    is_winning_this_year BOOLEAN NOT NULL DEFAULT FALSE,
    is_churned_this_year BOOLEAN NOT NULL DEFAULT FALSE,
    aum_balance DECIMAL(20,2) NOT NULL DEFAULT 0,
    plan_count INTEGER NOT NULL DEFAULT 0,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (snapshot_month, company_id, product_line_code),
    CONSTRAINT fk_snapshot_company FOREIGN KEY (company_id)
        REFERENCES customer."年金客户" (company_id),
    CONSTRAINT fk_snapshot_product_line FOREIGN KEY (product_line_code)
        REFERENCES mapping."产品线" ("产品线代码"),
    -- Not date_trunc: on a date it depends on the TimeZone.
    CONSTRAINT chk_snapshot_month_end CHECK (
        isfinite(snapshot_month) AND extract(day FROM snapshot_month + 1) = 1
    )
)
-- Room in each page lets a changed AUM be a HOT update, which touches no index.
WITH (fillfactor = 80);

\endif

CREATE INDEX idx_snapshot_month
    ON customer.fct_customer_business_monthly_status (snapshot_month);
CREATE INDEX idx_snapshot_company
    ON customer.fct_customer_business_monthly_status (company_id);
CREATE INDEX idx_snapshot_product_line
    ON customer.fct_customer_business_monthly_status (product_line_code);
CREATE INDEX idx_snapshot_month_product
    ON customer.fct_customer_business_monthly_status (snapshot_month, product_line_code);
CREATE INDEX idx_snapshot_month_brin
    ON customer.fct_customer_business_monthly_status USING BRIN (snapshot_month);
CREATE INDEX idx_snapshot_strategic
    ON customer.fct_customer_business_monthly_status (snapshot_month)
    WHERE is_strategic = TRUE;

CREATE FUNCTION customer.set_snapshot_updated_at()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.updated_at := CURRENT_TIMESTAMP;
    RETURN NEW;
END
$$;

CREATE TRIGGER trg_snapshot_updated_at
    BEFORE UPDATE ON customer.fct_customer_business_monthly_status
    FOR EACH ROW
    WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION customer.set_snapshot_updated_at();

REVOKE ALL ON TABLE customer.fct_customer_business_monthly_status FROM PUBLIC;
REVOKE ALL ON FUNCTION customer.set_snapshot_updated_at() FROM PUBLIC;

COMMENT ON TABLE customer.fct_customer_business_monthly_status IS
'Customer monthly snapshot (periodic snapshot fact table): the standing of each customer in each product line at the end of a month. One row per month, customer and product line. Written by customer.refresh_monthly_snapshot; nothing else should write it.';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.snapshot_month IS
'The month, as its last day (2026-01-31 is January 2026).';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.company_id IS
'Customer; refers to customer."年金客户".company_id.';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.product_line_code IS
'Product line, such as PL202; refers to mapping."产品线"."产品线代码".';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.product_line_name IS
'Name of the product line, such as 企年受托, as its contracts spell it; where they differ, the greatest in byte order (COLLATE "C").';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_strategic IS
'战客, strategic customer: true if any of the contracts behind this row is marked strategic. A NULL mark counts as false.';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_existing IS
'已客, existing customer: true if any of the contracts behind this row is marked existing. A NULL mark counts as false.';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_new IS
'新客, new customer: an award was won this year and the customer is not an existing one (is_winning_this_year AND NOT is_existing).';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_winning_this_year IS
'当年中标: customer."当年中标" has a row for this customer and product line whose 上报月份 lies in the calendar year of snapshot_month (the whole year, later months included).';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_churned_this_year IS
'当年流失: customer."当年流失" has a row for this customer and product line whose 上报月份 lies in the calendar year of snapshot_month (the whole year, later months included).';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.aum_balance IS
'AUM at month end in yuan, 2 decimals: the sum of 期末资产规模 in business."规模明细" for this customer and product line where 月度 is any day of the month, rounded after summing. 0 where there is none.';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.plan_count IS
'Number of distinct plans (plan_code) among the contracts behind this row.';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.updated_at IS
'When a value of this row last changed: the start of the transaction that changed it. A refresh that finds the row right leaves it.';

COMMENT ON CONSTRAINT fct_customer_business_monthly_status_pkey ON customer.fct_customer_business_monthly_status IS
'One row per month, customer and product line.';
COMMENT ON CONSTRAINT fk_snapshot_company ON customer.fct_customer_business_monthly_status IS
'Each customer of a snapshot is a known customer.';
COMMENT ON CONSTRAINT fk_snapshot_product_line ON customer.fct_customer_business_monthly_status IS
'Each product line of a snapshot is a known product line.';
COMMENT ON CONSTRAINT chk_snapshot_month_end ON customer.fct_customer_business_monthly_status IS
'snapshot_month is the last day of a month, whatever the session''s TimeZone.';
COMMENT ON INDEX customer.fct_customer_business_monthly_status_pkey IS
'Finds the rows of a month, and each row by its key.';
COMMENT ON INDEX customer.idx_snapshot_month IS
'Rows of a month.';
COMMENT ON INDEX customer.idx_snapshot_company IS
'History of a customer.';
COMMENT ON INDEX customer.idx_snapshot_product_line IS
'History of a product line.';
COMMENT ON INDEX customer.idx_snapshot_month_product IS
'A product line in a month.';
COMMENT ON INDEX customer.idx_snapshot_month_brin IS
'Ranges of months over a long history, at next to no size.';
COMMENT ON INDEX customer.idx_snapshot_strategic IS
'Strategic customers (战客) of a month.';

COMMENT ON FUNCTION customer.set_snapshot_updated_at() IS
'Trigger function: sets updated_at to the start of the current transaction. Raises nothing.';
COMMENT ON TRIGGER trg_snapshot_updated_at ON customer.fct_customer_business_monthly_status IS
'Moves updated_at when, and only when, an update really changes the row.';

COMMIT;
