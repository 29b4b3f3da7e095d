-- Deploy customer_monthly_snapshot:judge_monthly_snapshot to pg
-- requires: sources
-- Whether a month that is about to be stored can be right, by its detail and by what was stored
-- before: the one place for every threshold.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.judge_monthly_snapshot(
    p_snapshot_month date,
    p_rows bigint,
    p_absolute_aum numeric,
    p_baseline_month date,
    p_baseline_rows bigint,
    p_baseline_aum numeric,
    p_unattributed_aum numeric,
    p_detail_days jsonb,
    p_has_stored_aum boolean
)
RETURNS TABLE (code text, is_error boolean, message text, hint text)
LANGUAGE plpgsql
STABLE
ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- No month in the life of an annuity business loses half of its customers or of its AUM. What
    -- does is a load that broke off, a contract sync that closed what it did not find, the wrong month.
    c_least_share CONSTANT numeric := 0.5;
    -- A new month may come in parts, line by line, and its first part is a quarter of the AUM. But a
    -- handful of rows is no part.
    c_least_aum_share_of_neighbour CONSTANT numeric := 0.1;
    -- From one month to the next, and from one load of a month to the next, the book moves by a
    -- few per cent.
    c_most_change CONSTANT numeric := 0.1;
    -- Some 3 % of the AUM has no customer or no contract in a good month. More means that the
    -- contracts do not reach back that far, or that customers were not resolved.
    c_most_unattributed CONSTANT numeric := 0.1;
    -- In fewer rows a single customer moves a share by a per cent and more.
    c_least_rows_to_refuse CONSTANT integer := 100;
    v_label text := to_char(p_snapshot_month, 'YYYY-MM-DD');
    v_is_same_month boolean := p_baseline_month = p_snapshot_month;
    v_baseline_label text := CASE
        WHEN v_is_same_month THEN 'when the month was last written'
        ELSE 'stored for ' || to_char(p_baseline_month, 'YYYY-MM-DD')
    END;
    v_is_baseline_large boolean := p_baseline_rows >= c_least_rows_to_refuse;
    v_has_detail boolean := p_has_stored_aum IS NULL;
    v_share numeric;
    v_least_share numeric;
    v_per_cent numeric;
BEGIN
    IF NOT v_has_detail THEN
        code := 'no_aum_detail';
        is_error := p_has_stored_aum;
        message := CASE
            WHEN is_error THEN format('the AUM detail has no row for %s, though stored months have AUM', v_label)
            ELSE format('the AUM detail has no row for %s: every AUM of the month is 0', v_label)
        END;
        hint := CASE
            WHEN is_error THEN 'Load the AUM of the month first, or name the month that was loaded.'
            ELSE 'Load the AUM of the month and refresh again.'
        END;
        RETURN NEXT;
    END IF;

    v_share := p_rows / nullif(p_baseline_rows, 0)::numeric;
    -- What is below a limit does not read as if it reached it.
    v_per_cent := CASE WHEN v_share < 1 THEN trunc(100 * v_share, 1) ELSE round(100 * v_share, 1) END;

    IF abs(v_share - 1) > c_most_change THEN
        code := 'rows_differ';
        is_error := v_is_baseline_large AND v_share < c_least_share;
        message := format(
            'the sources support %s rows of %s, which is %s %% of the %s %s',
            p_rows, v_label, v_per_cent, p_baseline_rows, v_baseline_label
        ) || CASE WHEN is_error THEN format(': expected are at least %s %%', trunc(100 * c_least_share)) ELSE '' END;
        hint := CASE
            WHEN v_share > 1 THEN 'Look whether contracts are current twice, or were incomplete before.'
            ELSE 'Look whether the contracts are complete and, for a month gone by, reach back that far.'
        END;
        RETURN NEXT;
    END IF;

    -- Without a row of detail all of it is missing, which was said above.
    v_share := CASE WHEN v_has_detail THEN p_absolute_aum / nullif(p_baseline_aum, 0) END;
    v_per_cent := CASE WHEN v_share < 1 THEN trunc(100 * v_share, 1) ELSE round(100 * v_share, 1) END;

    IF abs(v_share - 1) > c_most_change THEN
        code := 'aum_differs';
        v_least_share := CASE WHEN v_is_same_month THEN c_least_share ELSE c_least_aum_share_of_neighbour END;
        is_error := v_is_baseline_large AND v_share < v_least_share;
        message := format(
            'the AUM of %s is %s yuan (sum of absolute amounts), which is %s %% of the %s %s',
            v_label, p_absolute_aum, v_per_cent, p_baseline_aum, v_baseline_label
        ) || CASE WHEN is_error THEN format(': expected are at least %s %%', trunc(100 * v_least_share)) ELSE '' END;
        hint := CASE
            WHEN v_share > 1 THEN 'Look whether the AUM of the month is loaded twice, or was loaded in part before.'
            WHEN is_error THEN 'Look whether the AUM of the month is loaded in whole, and its customers are resolved.'
            ELSE 'Look whether the AUM of the month is loaded in whole; if it comes in parts, refresh again after the last.'
        END;
        RETURN NEXT;
    END IF;

    v_share := p_unattributed_aum / nullif(p_absolute_aum + p_unattributed_aum, 0);

    IF v_share > c_most_unattributed THEN
        code := 'aum_unattributed';
        is_error := FALSE;
        message := format(
            '%s %% of the AUM of %s is unattributed, because no contract supports it (%s yuan; the rows carry %s; sums of absolute amounts)',
            round(100 * v_share, 1), v_label, round(p_unattributed_aum, 2), p_absolute_aum
        );
        hint := 'Look whether its customers are resolved and, for a month gone by, whether the contracts reach back that far. '
            'What stale rows carry is part of it.';
        RETURN NEXT;
    END IF;

    IF (SELECT count(*) > 1 FROM jsonb_object_keys(p_detail_days)) THEN
        code := 'several_month_dates';
        is_error := FALSE;
        message := format(
            'the AUM detail of %s stands under several days: %s',
            v_label,
            (
                SELECT string_agg(format('%s rows under %s', row_count, day), ', ' ORDER BY day)
                FROM jsonb_each_text(p_detail_days) AS loaded (day, row_count)
            )
        );
        hint := 'All of them are added up. Look whether the month was loaded twice.';
        RETURN NEXT;
    END IF;
END
$$;

CALL customer.revoke_default_grants(
    'customer.judge_monthly_snapshot(date, bigint, numeric, date, bigint, numeric, numeric, jsonb, boolean)'::regprocedure
);

COMMENT ON FUNCTION customer.judge_monthly_snapshot(date, bigint, numeric, date, bigint, numeric, numeric, jsonb, boolean) IS
'Internal: holds what a refresh or restate is about to store against its baseline, and returns what cannot be right or looks odd; no rows if all is well.

p_snapshot_month: the month. p_rows, p_absolute_aum: rows that the sources support, and the sum of their absolute AUM, yuan.
p_baseline_month: the month itself, or a neighbour; NULL if there is none. p_baseline_rows, p_baseline_aum: its rows and their absolute AUM.
p_unattributed_aum: the absolute AUM of the month''s detail that none of these rows carries, yuan.
p_detail_days: rows of the detail by day; may be NULL if they stand under one.
p_has_stored_aum: NULL if the detail has rows; otherwise whether any stored row has AUM.

Returns code (of a warning, fixed for good), is_error (whether to refuse the month, unless the caller accepts it), message and hint (ASCII). Raises nothing.';

COMMIT;
