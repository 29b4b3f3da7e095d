-- A source system made by hand, in which each rule of the snapshot shows in a row of its own.
-- The month is January 2026. golden_month_expected.txt says what must come of it;
-- tests/integration/test_golden.py loads one and compares the other.
--
-- The tables are those of sql/demo/source_system.sql, and empty but for the product lines.

SET client_encoding = 'UTF8';

BEGIN;

-- Customers -----------------------------------------------------------------------------------

INSERT INTO customer."年金客户" (company_id, "客户名称")
SELECT company_id, company_id || '号客户'
FROM unnest(ARRAY[
    'C01', 'C02', 'C03', 'C04', 'C05', 'C06', 'C07', 'C08', 'C09', 'C10', 'C11', 'C12',
    'C13', 'C14', 'C15', 'C16', 'C17', 'C18', 'C19', 'C20', 'C21', 'C22', 'C2', 'C23'
]) AS company_id;

-- Two product lines whose codes read the same when written behind a customer: C2 + 3PL, C23 + PL.
INSERT INTO mapping."产品线" ("产品线代码", "产品线")
VALUES ('3PL', '三'), ('PL', '零');

-- Contracts -----------------------------------------------------------------------------------

INSERT INTO customer.customer_plan_contract (
    contract_id, company_id, plan_code, product_line_code, product_line_name,
    is_strategic, is_existing, contract_status, status_year, valid_from, valid_to
)
VALUES
    -- two product lines make two rows, each with its own marks
    ( 1, 'C01', 'P1', 'PL201', '企年投资', TRUE,  FALSE, '正常', 2020, '2020-01-01', '9999-12-31'),
    ( 2, 'C01', 'P1', 'PL202', '企年受托', FALSE, TRUE,  '正常', 2020, '2020-01-01', '9999-12-31'),
    -- two plans make one row; one mark that is true is enough, NULL is none
    ( 3, 'C02', 'P1', 'PL202', '企年受托', NULL,  FALSE, '正常', 2020, '2020-01-01', '9999-12-31'),
    ( 4, 'C02', 'P2', 'PL202', '企年受托', TRUE,  NULL,  '正常', 2020, '2020-01-01', '9999-12-31'),
    -- AUM
    ( 5, 'C03', 'P1', 'PL202', '企年受托', FALSE, TRUE,  '正常', 2020, '2020-01-01', '9999-12-31'),
    ( 6, 'C04', 'P1', 'PL202', '企年受托', FALSE, TRUE,  '停缴', 2020, '2020-01-01', '9999-12-31'),
    ( 7, 'C05', 'P1', 'PL202', '企年受托', FALSE, TRUE,  '正常', 2020, '2020-01-01', '9999-12-31'),
    ( 8, 'C06', 'P1', 'PL202', '企年受托', FALSE, TRUE,  '正常', 2020, '2020-01-01', '9999-12-31'),
    ( 9, 'C07', 'P1', 'PL202', '企年受托', FALSE, TRUE,  '正常', 2020, '2020-01-01', '9999-12-31'),
    -- awards and losses
    (10, 'C08', 'P1', 'PL202', '企年受托', FALSE, FALSE, '正常', 2020, '2020-01-01', '9999-12-31'),
    (11, 'C09', 'P1', 'PL202', '企年受托', FALSE, TRUE,  '正常', 2020, '2020-01-01', '9999-12-31'),
    (12, 'C10', 'P1', 'PL202', '企年受托', FALSE, FALSE, '正常', 2020, '2020-01-01', '9999-12-31'),
    (13, 'C11', 'P1', 'PL202', '企年受托', FALSE, FALSE, '正常', 2020, '2020-01-01', '9999-12-31'),
    (14, 'C12', 'P1', 'PL202', '企年受托', FALSE, FALSE, '正常', 2020, '2020-01-01', '9999-12-31'),
    (15, 'C13', 'P1', 'PL202', '企年受托', FALSE, FALSE, '正常', 2020, '2020-01-01', '9999-12-31'),
    -- marks that are NULL
    (16, 'C14', 'P1', 'PL202', '企年受托', NULL,  NULL,  '正常', 2020, '2020-01-01', '9999-12-31'),
    -- two names: 年 (UTF-8 E5…) is greater than 业 (E4…)
    (17, 'C15', 'P1', 'PL202', '企年受托', FALSE, TRUE,  '正常', 2020, '2020-01-01', '9999-12-31'),
    (18, 'C15', 'P2', 'PL202', '企业受托', FALSE, TRUE,  '正常', 2020, '2020-01-01', '9999-12-31'),
    -- ended before the month; on its last day; without an end
    (19, 'C16', 'P1', 'PL202', '企年受托', TRUE,  TRUE,  '正常', 2020, '2020-01-01', '2026-01-30'),
    (20, 'C17', 'P1', 'PL202', '企年受托', TRUE,  TRUE,  '正常', 2020, '2020-01-01', '2026-01-31'),
    (21, 'C18', 'P1', 'PL202', '企年受托', TRUE,  TRUE,  '正常', 2020, '2020-01-01', NULL),
    -- begins after the month
    (22, 'C19', 'P1', 'PL202', '企年受托', FALSE, FALSE, '正常', 2026, '2026-02-01', '9999-12-31'),
    -- a version that was true in January, and today's
    (23, 'C20', 'P1', 'PL202', '企业受托', TRUE,  FALSE, '正常', 2020, '2020-01-01', '2026-02-14'),
    (24, 'C20', 'P1', 'PL202', '企年受托', FALSE, TRUE,  '正常', 2026, '2026-02-15', '9999-12-31'),
    -- two versions that both cover the last day: the later one counts, and one plan stays one
    (25, 'C21', 'P1', 'PL202', '企年受托', TRUE,  FALSE, '正常', 2020, '2020-01-01', '2026-01-31'),
    (26, 'C21', 'P1', 'PL202', '企年受托', FALSE, TRUE,  '正常', 2026, '2026-01-31', '9999-12-31'),
    -- C22 has no contract
    (27, 'C2',  'P1', '3PL',   '三',       FALSE, FALSE, '正常', 2020, '2020-01-01', '9999-12-31'),
    (28, 'C23', 'P1', 'PL',    '零',       FALSE, FALSE, '正常', 2020, '2020-01-01', '9999-12-31');

-- Awards (中标) -------------------------------------------------------------------------------

INSERT INTO customer."当年中标" (company_id, "产品线代码", "上报月份", "业务类型", "上报客户名称")
VALUES
    ('C08', 'PL202', '2026-12-31', '受托', '年末中标'),         -- on the last day of the year
    ('C09', 'PL202', '2026-01-01', '受托', '已客中标'),         -- on its first day; existing customer
    ('C10', 'PL202', '2025-12-31', '受托', '去年中标'),         -- the year before
    ('C10', 'PL202', '2027-01-01', '受托', '明年中标'),         -- the year after
    ('C11', 'PL201', '2026-03-01', '投资', '其他产品线中标'),   -- another product line: matches no row
    ('C13', 'PL202', '2026-05-01', '受托', '中标又流失'),
    ('C13', 'PL202', '2026-05-01', '受托', '中标又流失'),       -- reported twice
    ('C14', 'PL202', '2026-02-01', '受托', '标记为空'),
    ('C2',  '3PL',   '2026-02-01', '受托', '拼接相同'),
    ('C22', 'PL202', '2026-02-01', '受托', '没有合同'),         -- no contract: matches no row
    (NULL,  'PL202', '2026-02-01', '受托', '客户未识别'),       -- no customer: matches no row
    ('C01', NULL,    '2026-02-01', '受托', '产品线未识别');     -- no product line: matches no row

-- Losses (流失) -------------------------------------------------------------------------------

INSERT INTO customer."当年流失" (company_id, "产品线代码", "上报月份", "业务类型", "上报客户名称")
VALUES
    ('C12', 'PL202', '2026-11-01', '受托', '年内流失'),
    ('C13', 'PL202', '2026-06-01', '受托', '中标又流失'),
    ('C10', 'PL202', '2025-12-31', '受托', '去年流失'),
    ('C16', 'PL202', '2026-01-15', '受托', '合同已终止'),       -- its contract has ended: matches no row
    ('',    'PL202', '2026-01-15', '受托', '客户为空');         -- blank customer: matches no row

-- AUM detail (规模明细) -----------------------------------------------------------------------

INSERT INTO business."规模明细" (company_id, "产品线代码", "计划代码", "组合代码", "月度", "期末资产规模")
VALUES
    ('C01', 'PL201', 'P1', '1', '2026-01-01',    1000.0000),
    ('C01', 'PL202', 'P1', '1', '2026-01-01',    2000.0000),
    ('C02', 'PL202', 'P1', '1', '2026-01-01',     300.0000),
    ('C02', 'PL202', 'P2', '1', '2026-01-01',      30.0000),
    -- any day of the month, several portfolios; not the day before, nor the day after
    ('C03', 'PL202', 'P1', '1', '2026-01-01',       1.1111),
    ('C03', 'PL202', 'P1', '2', '2026-01-15',      20.2222),
    ('C03', 'PL202', 'P1', '3', '2026-01-31',     300.3333),
    ('C03', 'PL202', 'P1', '1', '2025-12-31',    4000.0000),
    ('C03', 'PL202', 'P1', '1', '2026-02-01',   50000.0000),
    -- C04 has none
    ('C05', 'PL202', 'P1', '1', '2026-01-01',          NULL),
    ('C05', 'PL202', 'P1', '2', '2026-01-01',    -500.2500),    -- an adjustment
    -- summed first, then rounded; halves away from zero
    ('C06', 'PL202', 'P1', '1', '2026-01-01',       0.0025),
    ('C06', 'PL202', 'P1', '2', '2026-01-01',       0.0025),
    ('C07', 'PL202', 'P1', '1', '2026-01-01',      -1.0050),
    ('C17', 'PL202', 'P1', '1', '2026-01-01',      17.0000),
    ('C20', 'PL202', 'P1', '1', '2026-01-01',      20.0000),
    ('C23', 'PL',    'P1', '1', '2026-01-01',      23.0000),
    -- what no row carries: no customer, no contract, no contract in that product line
    (NULL,  'PL202', 'P1', '1', '2026-01-01',       0.4000),
    ('  ',  'PL202', 'P1', '1', '2026-01-01',       0.0300),
    ('C22', 'PL202', 'P1', '1', '2026-01-01',      22.0000),
    ('C16', 'PL202', 'P1', '1', '2026-01-01',      16.0000),
    ('C01', 'PL210', 'P1', '1', '2026-01-01',       7.0000),
    ('C01', NULL,    'P1', '1', '2026-01-01',       5.0000);

COMMIT;
