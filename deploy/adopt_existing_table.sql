-- Deploy customer_monthly_snapshot:adopt_existing_table to pg
-- requires: sources
-- The table that Alembic made earlier becomes the package's, in place, so that its rows, its
-- grants and the views over it stay: but only with sqitch deploy --set adopt=true. Does nothing
-- where there is no table, or where it is the package's already.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;
-- Definitions are compared.
SET LOCAL quote_all_identifiers = off;

\if :{?adopt}
\else
    \set adopt false
\endif

-- The foreign keys' targets, as in the fact table's change.
SELECT
    max(table_name) FILTER (WHERE source = 'customers') AS customers,
    max(table_name) FILTER (WHERE source = 'product_lines') AS product_lines
FROM customer.source_columns()
\gset

-- The block below sees settings, but not psql's variables.
SELECT
    set_config('customer.adopt', :'adopt', TRUE) AS adopt,
    set_config('customer.adopt_customers', :'customers', TRUE) AS customers,
    set_config('customer.adopt_product_lines', :'product_lines', TRUE) AS product_lines
\gset

DO $$
DECLARE
    v_table CONSTANT regclass := to_regclass('customer.fct_customer_business_monthly_status');
    v_owner CONSTANT regrole := (SELECT relowner FROM pg_class WHERE oid = v_table);
    v_deployer CONSTANT regrole := quote_ident(current_user)::regrole;
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
    v_customers CONSTANT regclass := current_setting('customer.adopt_customers');
    v_product_lines CONSTANT regclass := current_setting('customer.adopt_product_lines');
    v_columns CONSTANT jsonb := '{
        "snapshot_month": "date",
        "company_id": "character varying",
        "product_line_code": "character varying(20)",
        "product_line_name": "character varying(50)",
        "is_strategic": "boolean",
        "is_existing": "boolean",
        "is_new": "boolean",
        "is_winning_this_year": "boolean",
        "is_churned_this_year": "boolean",
        "aum_balance": "numeric(20,2)",
        "plan_count": "integer",
        "updated_at": "timestamp with time zone"
    }';
    v_indexes CONSTANT name[] := ARRAY[
        'idx_snapshot_month', 'idx_snapshot_company', 'idx_snapshot_product_line',
        'idx_snapshot_month_product', 'idx_snapshot_month_brin', 'idx_snapshot_strategic'
    ];
    v_rights aclitem[];
    v_obstacles text[];
    v_more_obstacles text[];
    v_rows_can_be_read boolean;
    v_key record;
    v_example text;
    v_count bigint;
    v_primary_key name;
    v_step record;
    v_notice text;
BEGIN
    -- 1. Is there anything to adopt?

    -- Nobody else has this check, and a mere copy of the package's table lacks the foreign keys.
    IF v_table IS NULL OR (
        SELECT count(*) = 3
        FROM pg_constraint
        WHERE conrelid = v_table
            AND (
                contype = 'f' AND conname IN ('fk_snapshot_company', 'fk_snapshot_product_line')
                OR conname = 'chk_snapshot_month_end'
                AND pg_get_constraintdef(oid)
                    = 'CHECK ((isfinite(snapshot_month) AND (EXTRACT(day FROM (snapshot_month + 1)) = (1)::numeric)))'
            )
    ) THEN
        RETURN;
    END IF;

    IF NOT current_setting('customer.adopt')::boolean THEN
        RAISE EXCEPTION 'table % exists already', v_table
            USING
                ERRCODE = 'duplicate_table',
                HINT = 'To adopt it and keep its rows: "sqitch deploy --set adopt=true". Nothing has been changed.';
    END IF;

    -- Another role may not be allowed to; the list of obstacles tells it why.
    IF v_owner = v_deployer AND v_kind = 'table' THEN
        LOCK TABLE customer.fct_customer_business_monthly_status IN ACCESS EXCLUSIVE MODE;
    END IF;

    -- 2. What stands in the way, all of it named before anything changes.

    SELECT array_agg(concat_ws(E'\n        ', what, statement || ';') ORDER BY what COLLATE "C")
    INTO v_obstacles
    FROM (
        SELECT format('kind: table expected, %s found', v_kind) AS what, NULL AS statement
        WHERE v_kind <> 'table'
        UNION ALL
        SELECT
            format('owner: %s expected, %s found', v_deployer, v_owner),
            format('ALTER TABLE %s OWNER TO %s', v_table, v_deployer)
        WHERE v_owner <> v_deployer
        UNION ALL
        SELECT
            format('column %s: %s expected, %s found', our_column.name, our_column.type, coalesce(their_column.type, 'none')),
            format(
                CASE WHEN their_column.type IS NULL THEN 'ALTER TABLE %s ADD COLUMN %s %s' ELSE 'ALTER TABLE %s ALTER COLUMN %s TYPE %s' END,
                v_table, our_column.name, our_column.type
            )
        FROM jsonb_each_text(v_columns) AS our_column (name, type)
        LEFT JOIN (
            SELECT
                attname AS name,
                format_type(atttypid, atttypmod)
                    || CASE WHEN attcollation = typcollation THEN '' ELSE ' COLLATE ' || attcollation::regcollation END AS type
            FROM pg_attribute
            JOIN pg_type
                ON pg_type.oid = atttypid
            WHERE attrelid = v_table
                AND NOT attisdropped
        ) AS their_column
            ON their_column.name = our_column.name
        WHERE their_column.type IS DISTINCT FROM our_column.type
    ) AS obstacle;

    v_rows_can_be_read := v_obstacles IS NULL;

    SELECT array_agg(item)
    INTO v_rights
    FROM (
        SELECT unnest(relacl) AS item
        FROM pg_class
        WHERE oid = v_table
        UNION ALL
        SELECT unnest(attacl)
        FROM pg_attribute
        WHERE attrelid = v_table
            AND NOT attisdropped
    ) AS of_table_and_columns;

    SELECT array_agg(concat_ws(E'\n        ', what, statement || ';') ORDER BY what COLLATE "C")
    INTO v_more_obstacles
    FROM (
        -- The package would have no value for it.
        SELECT
            format('column %I is NOT NULL and has no default', attname) AS what,
            CASE WHEN attnotnull THEN format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', v_table, attname) END AS statement
        FROM pg_attribute
        JOIN pg_type
            ON pg_type.oid = atttypid
        WHERE attrelid = v_table
            AND attnum > 0
            AND (attnotnull OR typnotnull AND typdefault IS NULL)
            AND NOT atthasdef
            AND attidentity = ''
            AND NOT attisdropped
            AND NOT v_columns ? attname
        UNION ALL
        SELECT
            format('column %I is %s', attname, CASE attidentity WHEN '' THEN 'generated' ELSE 'an identity column' END),
            format(
                'ALTER TABLE %s ALTER COLUMN %I %s', v_table, attname,
                CASE WHEN attidentity <> '' THEN 'DROP IDENTITY' WHEN attgenerated = 's' THEN 'DROP EXPRESSION' END
            )
        FROM pg_attribute
        WHERE attrelid = v_table
            AND (attgenerated <> '' OR attidentity <> '')
            AND v_columns ? attname
        UNION ALL
        -- A primary key that is missing is added below. Others might refuse the package's rows.
        SELECT
            format('constraint %I may refuse rows: %s', conname, pg_get_constraintdef(oid)),
            format('ALTER TABLE %s DROP CONSTRAINT %I', v_table, conname)
        FROM pg_constraint
        WHERE conrelid = v_table
            AND (
                contype = 'x'
                OR contype = 'p' AND pg_get_constraintdef(oid) <> 'PRIMARY KEY (snapshot_month, company_id, product_line_code)'
            )
        UNION ALL
        -- So might a unique index, unless it has all columns of the primary key.
        SELECT
            format('unique index %s may refuse rows', indexrelid::regclass),
            CASE
                WHEN conname IS NULL THEN format('DROP INDEX %s', indexrelid::regclass)
                ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', v_table, conname)
            END
        FROM pg_index
        LEFT JOIN pg_constraint
            ON conindid = indexrelid
            AND contype = 'u'
        WHERE indrelid = v_table
            AND indisunique
            AND NOT indisprimary
            -- The others are mere INCLUDE columns.
            AND NOT (indkey::smallint[])[0:indnkeyatts - 1] @> ARRAY(
                SELECT attnum
                FROM pg_attribute
                WHERE attrelid = v_table
                    AND attname IN ('snapshot_month', 'company_id', 'product_line_code')
            )
        UNION ALL
        SELECT format('name customer.%I is taken: the package has an index of this name', relname), NULL
        FROM pg_class
        WHERE relnamespace = 'customer'::regnamespace
            AND relname IN (SELECT unnest(v_indexes || 'fct_customer_business_monthly_status_pkey'::name))
            AND NOT EXISTS (
                SELECT
                FROM pg_index
                WHERE indexrelid = pg_class.oid
                    AND indrelid = v_table
                    AND (indisprimary OR relname <> 'fct_customer_business_monthly_status_pkey')
            )
        UNION ALL
        -- It gives way to the package's, which a constraint forbids.
        SELECT
            format('constraint %I of table %s needs index %s', conname, conrelid::regclass, conindid::regclass),
            format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
        FROM pg_constraint
        JOIN pg_index
            ON indexrelid = conindid
        JOIN pg_class
            ON pg_class.oid = conindid
        WHERE indrelid = v_table
            AND relname IN (SELECT unnest(v_indexes))
        UNION ALL
        SELECT
            format(
                CASE WHEN tgtype & 3 = 3 THEN 'trigger %I may change or suppress rows' ELSE 'trigger %I has a name of the package''s' END,
                tgname
            ),
            format('DROP TRIGGER %I ON %s', tgname, v_table)
        FROM pg_trigger
        WHERE tgrelid = v_table
            AND NOT tgisinternal
            -- Before, and for each row.
            AND (tgtype & 3 = 3 OR tgname = 'trg_snapshot_updated_at' OR starts_with(tgname, 'trg_snapshot_guard_'))
        UNION ALL
        SELECT
            format('rule %I may change or suppress rows', rulename),
            format('DROP RULE %I ON %s', rulename, v_table)
        FROM pg_rewrite
        WHERE ev_class = v_table
            AND rulename <> '_RETURN'
        UNION ALL
        SELECT
            format('table %s inherits from it', inhrelid::regclass),
            format('ALTER TABLE %s NO INHERIT %s', inhrelid::regclass, v_table)
        FROM pg_inherits
        WHERE inhparent = v_table
            AND v_kind = 'table'
        UNION ALL
        SELECT
            format('it inherits from table %s', inhparent::regclass),
            CASE
                WHEN relispartition THEN format('ALTER TABLE %s DETACH PARTITION %s', inhparent::regclass, v_table)
                ELSE format('ALTER TABLE %s NO INHERIT %s', v_table, inhparent::regclass)
            END
        FROM pg_inherits
        JOIN pg_class
            ON pg_class.oid = inhrelid
        WHERE inhrelid = v_table
        UNION ALL
        SELECT 'row security is on', format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', v_table)
        FROM pg_class
        WHERE oid = v_table
            AND relrowsecurity
        UNION ALL
        -- The owner can revoke what it granted itself, and nothing else.
        SELECT
            format('PUBLIC has %s from %s', privilege_type, grantor::regrole),
            format('REVOKE GRANT OPTION FOR %s ON %s FROM %s CASCADE', privilege_type, v_table, grantor::regrole)
        FROM aclexplode(v_rights)
        WHERE grantee = 0
            AND grantor <> v_owner
    ) AS obstacle;

    v_obstacles := v_obstacles || v_more_obstacles;

    IF v_rows_can_be_read THEN
        SELECT array_agg(format('%s: %s rows', concat_ws(', such as ', what, example), number) ORDER BY position)
        INTO v_more_obstacles
        FROM (
            SELECT position, what, min(example) AS example, count(*) AS number
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
                    )
            ) AS possible (position, what, is_so, example)
            WHERE is_so
            GROUP BY position, what
        ) AS bad_data;

        v_obstacles := v_obstacles || v_more_obstacles;

        FOR v_key IN
            SELECT column_name, target, target_column
            FROM (
                VALUES
                    ('company_id', v_customers, 'company_id'),
                    ('product_line_code', v_product_lines, '产品线代码')
            ) AS foreign_key (column_name, target, target_column)
        LOOP
            EXECUTE format(
                'SELECT min(%1$I), count(%1$I) '
                'FROM %2$s AS snapshot '
                'WHERE NOT EXISTS (SELECT FROM %3$s AS target WHERE target.%4$I = snapshot.%1$I)',
                v_key.column_name, v_table, v_key.target, v_key.target_column
            )
            INTO v_example, v_count;

            IF v_count > 0 THEN
                v_obstacles := array_append(v_obstacles, format(
                    '%s is not in %s, such as %s: %s rows', v_key.column_name, v_key.target, v_example, v_count
                ));
            END IF;
        END LOOP;
    END IF;

    IF v_obstacles IS NOT NULL THEN
        RAISE EXCEPTION E'table % cannot be adopted:\n    %', v_table, array_to_string(v_obstacles, E'\n    ')
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Run the statements if you agree with them, correct or delete such rows, and deploy again; '
                    'or rename the table and deploy without it. Nothing has been changed.';
    END IF;

    -- 3. What gives way. Indexes and constraints of the package's names are made anew.

    FOR v_step IN
        SELECT what, statement
        FROM (
            SELECT
                format('index %I gives way to the package''s: %s', relname, pg_get_indexdef(indexrelid)) AS what,
                format('DROP INDEX %s', indexrelid::regclass) AS statement
            FROM pg_index
            JOIN pg_class
                ON pg_class.oid = indexrelid
            WHERE indrelid = v_table
                AND relname IN (SELECT unnest(v_indexes))
            UNION ALL
            SELECT
                format('constraint %I gives way to the package''s: %s', conname, pg_get_constraintdef(oid)),
                format('ALTER TABLE %s DROP CONSTRAINT %I', v_table, conname)
            FROM pg_constraint
            WHERE conrelid = v_table
                AND (
                    conname IN ('fk_snapshot_company', 'fk_snapshot_product_line', 'chk_snapshot_month_end')
                    OR contype = 'f' AND EXISTS (
                        SELECT
                        FROM pg_attribute
                        WHERE attrelid = conrelid
                            AND conkey = ARRAY[attnum]
                            AND (attname, confrelid) IN (('company_id', v_customers), ('product_line_code', v_product_lines))
                    )
                )
            UNION ALL
            SELECT
                format('default of column %s is dropped: %s', attname, pg_get_expr(adbin, adrelid)),
                format('ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT', v_table, attname)
            FROM pg_attrdef
            JOIN pg_attribute
                ON attrelid = adrelid
                AND attnum = adnum
            WHERE adrelid = v_table
                AND attname IN ('snapshot_month', 'company_id', 'product_line_code', 'product_line_name')
            UNION ALL
            SELECT
                format('storage option of %s is reset: %s', pg_class.oid::regclass, option),
                format(
                    'ALTER %s %s RESET (%s)',
                    CASE relkind WHEN 'r' THEN 'TABLE' ELSE 'INDEX' END, pg_class.oid::regclass, split_part(option, '=', 1)
                )
            FROM pg_class
            CROSS JOIN unnest(reloptions) AS option
            LEFT JOIN pg_index
                ON indexrelid = pg_class.oid
            WHERE (pg_class.oid = v_table OR indrelid = v_table AND indisprimary)
                AND (relkind, option) <> ('r', 'fillfactor=80')
        ) AS giving_way
        ORDER BY what COLLATE "C"
    LOOP
        EXECUTE v_step.statement;
        RAISE NOTICE '%', v_step.what;
    END LOOP;

    -- 4. What stays, and what its owner should know of.

    FOR v_notice IN
        SELECT what
        FROM (
            SELECT format('column %I stays: it is generated', attname) AS what
            FROM pg_attribute
            WHERE attrelid = v_table
                AND attgenerated <> ''
            UNION ALL
            SELECT format('constraint %I stays: %s', conname, pg_get_constraintdef(oid))
            FROM pg_constraint
            WHERE conrelid = v_table
                AND contype IN ('c', 'f')
            UNION ALL
            SELECT format('constraint %I of table %s stays: %s', conname, conrelid::regclass, pg_get_constraintdef(oid))
            FROM pg_constraint
            WHERE confrelid = v_table
                AND conrelid <> v_table
                AND contype = 'f'
            UNION ALL
            SELECT format('trigger %I stays: %s', tgname, pg_get_triggerdef(oid))
            FROM pg_trigger
            WHERE tgrelid = v_table
                AND NOT tgisinternal
            UNION ALL
            SELECT 'what is granted to PUBLIC is revoked: grant it to those who need it'
            FROM aclexplode(v_rights)
            WHERE grantee = 0
            GROUP BY grantee
            UNION ALL
            SELECT format('role %s keeps %s: revoke it with REVOKE %s ON %s FROM %s;', grantee::regrole, rights, rights, v_table, grantee::regrole)
            FROM (
                SELECT grantee, string_agg(DISTINCT privilege_type, ', ') AS rights
                FROM aclexplode(v_rights)
                WHERE grantee NOT IN (0, v_owner)
                    AND privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
                GROUP BY grantee
            ) AS writer
        ) AS notice
        ORDER BY what COLLATE "C"
    LOOP
        RAISE NOTICE '%', v_notice;
    END LOOP;

    -- 5. The rest is brought into the shape of the package's table.

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

    -- A table with checks to come cannot be altered.
    SET CONSTRAINTS ALL IMMEDIATE;

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
        ADD CONSTRAINT chk_snapshot_month_end CHECK (
            isfinite(snapshot_month) AND extract(day FROM snapshot_month + 1) = 1
        ),
        SET (fillfactor = 80),
        SET LOGGED;

    SELECT conname
    INTO v_primary_key
    FROM pg_constraint
    WHERE conrelid = v_table
        AND contype = 'p';

    IF v_primary_key IS NULL THEN
        ALTER TABLE customer.fct_customer_business_monthly_status
            ADD CONSTRAINT fct_customer_business_monthly_status_pkey
            PRIMARY KEY (snapshot_month, company_id, product_line_code);
    ELSIF v_primary_key <> 'fct_customer_business_monthly_status_pkey' THEN
        EXECUTE format(
            'ALTER TABLE %s RENAME CONSTRAINT %I TO fct_customer_business_monthly_status_pkey',
            v_table, v_primary_key
        );
    END IF;

    EXECUTE format(
        'ALTER TABLE %s '
        'ADD CONSTRAINT fk_snapshot_company FOREIGN KEY (company_id) REFERENCES %s (company_id), '
        'ADD CONSTRAINT fk_snapshot_product_line FOREIGN KEY (product_line_code) REFERENCES %s ("产品线代码")',
        v_table, v_customers, v_product_lines
    );

    -- It may have revoked some from itself.
    GRANT ALL ON TABLE customer.fct_customer_business_monthly_status TO current_user;
    REVOKE ALL ON TABLE customer.fct_customer_business_monthly_status FROM PUBLIC;

    -- The mark by which deploying and verifying the fact table recognise it.
    EXECUTE format('COMMENT ON TABLE %s IS %L', v_table, concat_ws(
        E'\n\n',
        obj_description(v_table, 'pg_class'),
        'Adopted from the table that stood here before; what was granted on it to named roles stays.'
    ));

    RAISE NOTICE 'table % is adopted with its % rows', v_table, (
        SELECT count(*)
        FROM customer.fct_customer_business_monthly_status
    );
END
$$;

COMMIT;
