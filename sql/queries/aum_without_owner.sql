-- How much AUM of the month has no owner in the snapshot, and why? Rows of 规模明细 without a customer,
-- of customers without a contract, and of customers whose contracts are in other product lines;
-- aum_unattributed is their sum. By the contracts and the detail of today; what it was when the month was
-- last written is in customer.monthly_status_total. share: of all that the detail holds of the month
-- (aum_in_source). AUM in yuan.
--   psql -v month=2026-01-31 -f sql/queries/aum_without_owner.sql

\encoding UTF8

WITH part AS (
    -- The figure that stands first in what validation says.
    SELECT check_name AS kind, violations AS detail_rows, split_part(detail, ' ', 1)::numeric AS aum
    FROM customer.validate_monthly_snapshot(:'month')
    WHERE check_name IN ('aum_in_source', 'aum_without_customer', 'aum_without_contract', 'aum_without_product_line', 'aum_unattributed')
)
SELECT
    kind, CASE WHEN starts_with(kind, 'aum_without') THEN detail_rows END AS detail_rows,
    aum, round(aum / nullif(max(aum) FILTER (WHERE kind = 'aum_in_source') OVER (), 0), 4) AS share
FROM part
ORDER BY kind = 'aum_in_source' DESC, kind = 'aum_unattributed', aum DESC, kind;
