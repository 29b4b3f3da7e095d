-- Deploy customer_monthly_snapshot:setting_is_on to pg
-- requires: sources
-- The package's own settings; the one place that refuses what is neither on nor off.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.setting_is_on(p_setting text, p_default boolean)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- After SET LOCAL a setting of one's own is empty rather than unset.
    v_value text := nullif(current_setting(p_setting, TRUE), '');
BEGIN
    RETURN coalesce(v_value::boolean, p_default);
EXCEPTION
    WHEN invalid_text_representation THEN
        RAISE EXCEPTION 'the setting % must be on or off, but is "%"', p_setting, customer.for_client(v_value)
            USING
                ERRCODE = 'invalid_parameter_value',
                HINT = format('SET LOCAL %s = on; or off; and RESET %s; brings back what it is by itself, %s.',
                    p_setting, p_setting, CASE WHEN p_default THEN 'on' ELSE 'off' END);
END
$$;

CALL customer.revoke_default_grants('customer.setting_is_on(text, boolean)'::regprocedure);

COMMENT ON FUNCTION customer.setting_is_on(text, boolean) IS
'Internal: whether a setting of the package, such as customer.accept_implausible, is on.
p_setting: its name. p_default: what it is where nobody has set it.
SQLSTATE 22023: it does not read as boolean.';

COMMIT;
