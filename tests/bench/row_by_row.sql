-- The definitions as they read, but for is_new: each row asks its own questions.
SELECT DATE '2026-01-31' AS snapshot_month, contract.company_id, contract.product_line_code, contract.product_line_name,
    contract.is_strategic, contract.is_existing,
    EXISTS (
        SELECT
        FROM customer."当年中标" AS award
        WHERE award.company_id = contract.company_id AND award."产品线代码" = contract.product_line_code
            AND award."上报月份" >= DATE '2026-01-01' AND award."上报月份" < DATE '2027-01-01'
    ) AS is_winning_this_year,
    EXISTS (
        SELECT
        FROM customer."当年流失" AS loss
        WHERE loss.company_id = contract.company_id AND loss."产品线代码" = contract.product_line_code
            AND loss."上报月份" >= DATE '2026-01-01' AND loss."上报月份" < DATE '2027-01-01'
    ) AS is_churned_this_year,
    coalesce(
        (
            SELECT sum(detail."期末资产规模")
            FROM business."规模明细" AS detail
            WHERE detail.company_id = contract.company_id AND detail."产品线代码" = contract.product_line_code
                AND detail."月度" >= DATE '2026-01-01' AND detail."月度" < DATE '2026-02-01'
        ),
        0
    ) AS aum_balance,
    contract.plan_count
FROM (
    SELECT company_id, product_line_code, max(product_line_name COLLATE "C") AS product_line_name,
        coalesce(bool_or(is_strategic), FALSE) AS is_strategic, coalesce(bool_or(is_existing), FALSE) AS is_existing,
        count(DISTINCT plan_code) AS plan_count
    FROM customer.customer_plan_contract
    WHERE valid_to = DATE '9999-12-31'
    GROUP BY company_id, product_line_code
) AS contract
