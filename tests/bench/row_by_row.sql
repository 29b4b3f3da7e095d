-- The definitions as they read: each row asks its own questions.
INSERT INTO customer.fct_customer_business_monthly_status (
    snapshot_month, company_id, product_line_code, product_line_name,
    is_strategic, is_existing, is_new, is_winning_this_year, is_churned_this_year,
    aum_balance, plan_count, updated_at
)
SELECT
    DATE '2026-01-31',
    contract.company_id,
    contract.product_line_code,
    contract.product_line_name,
    contract.is_strategic,
    contract.is_existing,
    NOT contract.is_existing
    AND EXISTS (
        SELECT
        FROM customer."当年中标" AS award
        WHERE award.company_id = contract.company_id
            AND award."产品线代码" = contract.product_line_code
            AND award."上报月份" >= DATE '2026-01-01'
            AND award."上报月份" < DATE '2027-01-01'
    ),
    EXISTS (
        SELECT
        FROM customer."当年中标" AS award
        WHERE award.company_id = contract.company_id
            AND award."产品线代码" = contract.product_line_code
            AND award."上报月份" >= DATE '2026-01-01'
            AND award."上报月份" < DATE '2027-01-01'
    ),
    EXISTS (
        SELECT
        FROM customer."当年流失" AS loss
        WHERE loss.company_id = contract.company_id
            AND loss."产品线代码" = contract.product_line_code
            AND loss."上报月份" >= DATE '2026-01-01'
            AND loss."上报月份" < DATE '2027-01-01'
    ),
    coalesce(
        (
            SELECT sum(detail."期末资产规模")
            FROM business."规模明细" AS detail
            WHERE detail.company_id = contract.company_id
                AND detail."产品线代码" = contract.product_line_code
                AND detail."月度" >= DATE '2026-01-01'
                AND detail."月度" < DATE '2026-02-01'
        ),
        0
    ),
    contract.plan_count,
    CURRENT_TIMESTAMP
FROM (
    SELECT
        company_id,
        product_line_code,
        max(product_line_name COLLATE "C") AS product_line_name,
        coalesce(bool_or(is_strategic), FALSE) AS is_strategic,
        coalesce(bool_or(is_existing), FALSE) AS is_existing,
        count(DISTINCT plan_code) AS plan_count
    FROM customer.customer_plan_contract
    WHERE valid_to = DATE '9999-12-31'
    GROUP BY company_id, product_line_code
) AS contract
ON CONFLICT (snapshot_month, company_id, product_line_code) DO UPDATE SET
    product_line_name = EXCLUDED.product_line_name,
    is_strategic = EXCLUDED.is_strategic,
    is_existing = EXCLUDED.is_existing,
    is_new = EXCLUDED.is_new,
    is_winning_this_year = EXCLUDED.is_winning_this_year,
    is_churned_this_year = EXCLUDED.is_churned_this_year,
    aum_balance = EXCLUDED.aum_balance,
    plan_count = EXCLUDED.plan_count,
    updated_at = EXCLUDED.updated_at
