-- Verify customer_monthly_snapshot:guard_closed_months on pg

BEGIN;

-- Definitions are printed with the names of what the search_path does not find.
SET LOCAL search_path = pg_catalog;
SET LOCAL quote_all_identifiers = off;

CALL customer.verify_function(
    'customer.guard_closed_months()',
    '81633ec982fdaf3ef67a90cd4d645d7e07af80f3f500be85af1a107f4a194abe',
    'guard_closed_months',
    p_is_internal => TRUE
);

DO $$
DECLARE
    v_expected CONSTANT text[] := ARRAY[
        'CREATE TRIGGER trg_snapshot_guard_before BEFORE INSERT OR DELETE OR UPDATE ON customer.fct_customer_business_monthly_status'
        ' FOR EACH STATEMENT EXECUTE FUNCTION customer.guard_closed_months(), with comment',
        'CREATE TRIGGER trg_snapshot_guard_insert AFTER INSERT ON customer.fct_customer_business_monthly_status'
        ' REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION customer.guard_closed_months(), with comment',
        'CREATE TRIGGER trg_snapshot_guard_update AFTER UPDATE ON customer.fct_customer_business_monthly_status'
        ' REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION customer.guard_closed_months(), with comment',
        'CREATE TRIGGER trg_snapshot_guard_delete AFTER DELETE ON customer.fct_customer_business_monthly_status'
        ' REFERENCING OLD TABLE AS old_row FOR EACH STATEMENT EXECUTE FUNCTION customer.guard_closed_months(), with comment',
        'CREATE TRIGGER trg_snapshot_guard_truncate BEFORE TRUNCATE ON customer.fct_customer_business_monthly_status'
        ' FOR EACH STATEMENT EXECUTE FUNCTION customer.guard_closed_months(), with comment'
    ];
    v_missing text;
BEGIN
    SELECT string_agg(fact, E'\n    ')
    INTO v_missing
    FROM unnest(v_expected) AS expected (fact)
    WHERE fact NOT IN (
        SELECT concat(pg_get_triggerdef(oid), CASE WHEN obj_description(oid, 'pg_trigger') <> '' THEN ', with comment' END)
        FROM pg_trigger
        WHERE tgrelid = 'customer.fct_customer_business_monthly_status'::regclass
            AND tgenabled = 'O'
    );

    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION E'closed months are not guarded as deployed; expected:\n    %', v_missing
            USING HINT = 'To bring it up to date, run as the owner of the package: "psql -d DATABASE -f deploy/guard_closed_months.sql".';
    END IF;
END
$$;

ROLLBACK;
