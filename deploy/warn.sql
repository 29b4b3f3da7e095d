-- Deploy customer_monthly_snapshot:warn to pg
-- requires: sources
-- A warning reaches those who read messages and those who read results, and says the same to both.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.warn(p_code text, p_message text, p_hint text)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE WARNING '%', p_message
        USING HINT = p_hint;

    RETURN jsonb_build_object('code', p_code, 'message', p_message, 'hint', p_hint);
END
$$;

CALL customer.revoke_default_grants('customer.warn(text, text, text)'::regprocedure);

COMMENT ON FUNCTION customer.warn(text, text, text) IS
'Internal: raises a WARNING and returns it as an element of the key warnings of a result: {"code", "message", "hint"}.
p_code: what programs know it by; fixed for good. p_message, p_hint: what happened, and what to do, in ASCII, because a client whose encoding has no Chinese must not lose its load to a warning. Raises no error.';

COMMIT;
