-- Deploy customer_monthly_snapshot:require_reason to pg
-- requires: sources
-- What is accepted as a reason or note; the one place that refuses what says nothing.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.require_reason(p_reason text, p_what text)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c_most_characters CONSTANT integer := 1000;
    v_is_unicode boolean := getdatabaseencoding() = 'UTF8';
    -- E3 80 80 is the blank of Chinese keyboards, whatever the database's encoding.
    v_blanks text := ' ' || CASE
        WHEN v_is_unicode THEN (
            SELECT string_agg(chr(code), '')
            FROM unnest(ARRAY[160, 5760, 8239, 8287, 12288, 65279] || ARRAY(SELECT generate_series(8192, 8205))) AS code
        )
        ELSE convert_from(decode('e38080', 'hex'), 'UTF8')
    END;
    c_hint CONSTANT text := 'Say why in a line of plain text, such as ''published 2026-02-10''; the log keeps it.';
BEGIN
    IF p_reason IS NULL THEN
        RAISE EXCEPTION 'the % must not be NULL', p_what
            USING ERRCODE = 'null_value_not_allowed', HINT = c_hint;
    END IF;

    -- It is shown in every later error about the month.
    IF length(p_reason) > c_most_characters THEN
        RAISE EXCEPTION 'the % must have at most % characters, but has %', p_what, c_most_characters, length(p_reason)
            USING ERRCODE = 'invalid_parameter_value', HINT = c_hint;
    END IF;

    -- In the collation "C" ranges of characters are of their codes, whatever the locale.
    IF p_reason COLLATE "C" ~ E'[\\x01-\\x1f\\x7f]' OR v_is_unicode AND p_reason COLLATE "C" ~ E'[\\u0080-\\u009f\\u2028\\u2029]' THEN
        RAISE EXCEPTION 'the % must hold no control characters such as line breaks, but is %', p_what, to_json(p_reason)
            USING ERRCODE = 'invalid_parameter_value', HINT = c_hint;
    END IF;

    IF btrim(p_reason, v_blanks) = '' THEN
        RAISE EXCEPTION 'the % must not be blank, but is "%"', p_what, p_reason
            USING ERRCODE = 'invalid_parameter_value', HINT = c_hint;
    END IF;
END
$$;

CALL customer.revoke_default_grants('customer.require_reason(text, text)'::regprocedure);

COMMENT ON FUNCTION customer.require_reason(text, text) IS
'Internal: raises an error unless p_reason says something: it is not NULL, not blank (Unicode''s blanks count, such as U+3000 and U+00A0), holds no control characters or line breaks and has at most 1000 characters. Depends on no setting or locale.
p_what: what it is called in the error, such as "reason for restating".
SQLSTATE 22004: p_reason is NULL. 22023: it is blank, holds control characters, or is longer than 1000 characters.';

COMMIT;
