-- Sample data for the tables of sql/demo/source_system.sql: as much as production
-- holds, with its troubles, and the same on every load and every PostgreSQL
-- (only the timestamps of the load itself differ). The tables must be empty.
--
--   psql -v ON_ERROR_STOP=1 -f sql/demo/sample_data.sql
--   psql -v ON_ERROR_STOP=1 -v scale=3 -v months=24 -v analyze=off -f sql/demo/sample_data.sql
--
-- scale    multiplies every count exactly; 1 is production's size
-- months   of AUM detail, the last of them 2026-01; 13 by default, at most 100
-- analyze  off leaves the tables without statistics, as a benchmark wants them
--
-- Production's figures contradict each other: 10,158 holders and 19,524 pairs of
-- customer and product line cannot give PL202 71.1 % of the contracts. So the
-- counts are exact, and the split (PL202 71.1 %, PL201 28.5 %, PL203 0.3 %,
-- PL204 0.1 %) is that of the AUM detail's rows.
--
-- How the numbers work. Scale N makes N units of 10,300 customers, numbered by
-- rank within their unit; what a customer has depends on the rank alone, so that
-- counts scale exactly. Two idioms take the place of chance:
--   (n * 7919) % m   shuffles the numbers below m, m being no multiple of the prime 7919
--   n % p = k        picks one in p; each property has another p, mostly a prime, and
--                    another k, so that properties meet in every combination
-- Dates and months are spread by turns: n % 23 gives 23 months equal shares.

\if :{?scale}
\else
    \set scale 1
\endif
\if :{?months}
\else
    \set months 13
\endif
\if :{?analyze}
\else
    \set analyze on
\endif

SET client_encoding = 'UTF8';

BEGIN;

-- For the AUM detail: a month is sorted in memory, and compiling its statement would
-- take longer than what that saves.
SET LOCAL work_mem = '256MB';
SET LOCAL jit = off;

-- ----------------------------------------------------------------------------
-- What to make
-- ----------------------------------------------------------------------------

-- A table, so that a senseless size is an error rather than an empty load.
CREATE TEMPORARY TABLE sample_size (
    scale   integer CONSTRAINT scale_is_at_least_1 CHECK (scale >= 1),
    months  integer CONSTRAINT months_are_1_to_100 CHECK (months BETWEEN 1 AND 100)
) ON COMMIT DROP;

INSERT INTO sample_size VALUES (:scale, :months);

-- The contracts of one unit: each group gives one contract to each of so many
-- customers, from first_rank on. The first with_aum of them, in shuffled order,
-- have AUM detail, in as many portfolios as the list says by turns.
--
--   ranks     0 … 10109   hold 企年受托; some also 企年投资, some a second plan
--         10100 … 10157   hold 职年投资; some also 职年受托
--         10158 … 10253   left in 2025, with both their contracts
--         10254 … 10265   have a contract whose valid_to was never filled in
--         10266 … 10299   never had a contract
CREATE TEMPORARY TABLE contract_group (
    group_no           integer,
    product_line_code  varchar,
    first_rank         integer,
    contracts          integer,
    with_aum           integer,
    portfolio_counts   integer[]
) ON COMMIT DROP;

INSERT INTO contract_group
VALUES (1, 'PL202',     0, 10110, 7424, '{1,2,3,4,4,5,5}'),
       (2, 'PL202',     0,   358,  260, '{1,2,3,4,4,5,5}'),  -- the second plans
       (3, 'PL201',     0,  9336, 7030, '{1,1,1,1,1,2,2,3}'),
       (4, 'PL203', 10100,    58,   44, '{1,2,3,4}'),
       (5, 'PL204', 10100,    20,   15, '{2,3}'),
       (6, 'PL202', 10158,    96,   96, '{1,2,3,4,4,5,5}'),
       (7, 'PL201', 10158,    96,   96, '{1,1,1,1,1,2,2,3}'),
       (8, 'PL202', 10254,    12,    0, '{1}');

-- ----------------------------------------------------------------------------
-- Customers
-- ----------------------------------------------------------------------------

-- A name is place, brand of two characters, trade and legal form. The digits of
-- name_no in the mixed base 25, 20, 20, 30 pick them: 300,000 different names. Its
-- prime is a larger one, so that neighbours differ in every part.
CREATE TEMPORARY TABLE sample_customer ON COMMIT DROP AS
WITH numbered AS (
    SELECT unit,
           rank,
           unit * 10300 + (rank * 7919) % 10300 AS company_no
      FROM sample_size
     CROSS JOIN generate_series(0, scale - 1) AS unit
     CROSS JOIN generate_series(0, 10299) AS rank
),
name_numbered AS (
    SELECT numbered.*,
           ((company_no::bigint * 104729) % 300000)::integer AS name_no
      FROM numbered
),
name_parts AS (
    SELECT name_numbered.*,
           (string_to_array('北京,上海,天津,重庆,广东,深圳,广州,浙江,杭州,宁波,'
                            '江苏,南京,苏州,山东,青岛,济南,四川,成都,湖北,武汉,'
                            '湖南,长沙,河南,郑州,福建,厦门,陕西,西安,辽宁,大连',
                            ','))[1 + name_no / 10000] AS place,
           substr('华中国东南北金天恒瑞安泰兴永宏鼎盛新康嘉', 1 + name_no / 25 % 20, 1)
           || substr('达源信通丰泽宇隆联创诚益昌茂辉腾耀润德和', 1 + name_no / 500 % 20, 1) AS brand,
           (string_to_array('电力,能源,钢铁,化工,建设,交通,航空,物流,机械,汽车,'
                            '电子,通信,软件,医药,食品,纺织,建材,矿业,水务,燃气,'
                            '传媒,环保,农业,贸易,置业',
                            ','))[1 + name_no % 25] AS trade,
           CASE WHEN rank BETWEEN 10100 AND 10157 THEN '事业发展中心'
                WHEN rank % 5 = 0 THEN '股份有限公司'
                WHEN rank % 7 = 0 THEN '集团有限公司'
                ELSE '有限公司'
           END AS legal_form
      FROM name_numbered
)
SELECT unit,
       rank,
       company_no,
       (600000001 + company_no)::varchar AS company_id,
       -- A few customers have an id and no name yet.
       CASE WHEN rank % 1999 <> 7 THEN place || brand || trade || legal_form END AS company_name,
       place || brand AS short_name,
       place,
       trade,
       'G' || (10 + company_no % 36) AS branch_code
  FROM name_parts;

INSERT INTO customer."年金客户" (
       company_id, "客户名称", "客户简称", "年金客户类型", "所属行业", "注册地", "成立日期")
SELECT company_id,
       company_name,
       short_name,
       CASE WHEN rank BETWEEN 10100 AND 10157 THEN '机关事业单位' ELSE '企业' END,
       trade,
       place,
       DATE '1985-01-01' + (rank * 7919) % 11000
  FROM sample_customer
 ORDER BY company_no;

-- ----------------------------------------------------------------------------
-- Contracts
-- ----------------------------------------------------------------------------

-- One row a contract, whatever its versions: the contract table and the AUM detail
-- are both made from it.
CREATE TEMPORARY TABLE sample_contract ON COMMIT DROP AS
WITH numbered AS (
    SELECT contract_group.*,
           turn,
           first_rank + (turn * 7919) % contracts AS rank
      FROM contract_group
     CROSS JOIN generate_series(0, contracts - 1) AS turn
),
planned AS (
    SELECT numbered.*,
           rank * 8 + group_no AS contract_no,
           -- 900 plans of one customer each, 207 collective ones, and 20 of public bodies.
           CASE WHEN group_no IN (4, 5) THEN 1107 + rank % 20
                WHEN group_no = 2 OR rank >= 900 THEN 900 + rank % 207
                ELSE rank
           END AS plan_no,
           -- 322 contracts are recent: 192 with AUM take the place of those that end in
           -- the month before, so that every month has AUM detail of equally many
           -- contracts; 130 have no AUM yet.
           CASE WHEN group_no IN (1, 3) AND turn < 96
                THEN DATE '2025-02-01' + make_interval(months => turn % 12)
                WHEN group_no IN (1, 3) AND turn >= contracts - 65
                THEN DATE '2025-01-01' + make_interval(months => turn % 13)
           END AS recent_start
      FROM numbered
)
SELECT customers.unit,
       customers.rank,
       customers.company_no,
       customers.company_id,
       customers.company_name,
       customers.branch_code,
       group_no,
       contract_no,
       product_line_code,
       "产品线" AS product_line_name,
       CASE WHEN plan_no < 900 THEN 'AN' ELSE 'P' END
           || (10001 + unit * 1127 + plan_no) AS plan_code,
       CASE WHEN plan_no < 900 THEN '单一计划' ELSE '集合计划' END AS plan_type,
       coalesce(recent_start,
                DATE '2015-01-01' + make_interval(months => contract_no % 83))::date AS started_on,
       -- Groups 6 and 7 end in 2025, group 8 has no end at all, the others are current.
       CASE WHEN group_no IN (6, 7)
            THEN (DATE '2025-02-01' + make_interval(months => (rank - 10158) % 12))::date - 1
            WHEN group_no <> 8
            THEN DATE '9999-12-31'
       END AS ended_on,
       -- One current contract in seven had other flags before; the change may fall on the
       -- first day of a month, in its midst or on its last day.
       CASE WHEN group_no <= 5 AND recent_start IS NULL AND contract_no % 47 < 7
            THEN (DATE '2024-06-01'
                  + make_interval(months => contract_no % 19)
                  + ('{0 days,14 days,1 month -1 day}'::interval[])[1 + contract_no % 3])::date
       END AS changed_on,
       CASE WHEN contract_no % 499 <> 3 THEN contract_no % 97 < 8 END AS is_strategic,
       CASE WHEN contract_no % 503 <> 7
            THEN recent_start IS NULL AND contract_no % 53 < 32
       END AS is_existing,
       CASE WHEN contract_no % 23 = 8 THEN '停缴' ELSE '正常' END AS contract_status,
       CASE WHEN turn < with_aum
            THEN portfolio_counts[1 + turn % cardinality(portfolio_counts)]
            ELSE 0
       END AS portfolios
  FROM planned
  JOIN sample_customer AS customers USING (rank)
  JOIN mapping."产品线" ON "产品线代码" = product_line_code;

INSERT INTO customer.customer_plan_contract (
       company_id, plan_code, product_line_code, product_line_name,
       is_strategic, is_existing, status_year, contract_status, valid_from, valid_to)
WITH last_versions AS (
    SELECT sample_contract.*,
           coalesce(changed_on, started_on) AS valid_from,
           ended_on AS valid_to
      FROM sample_contract
),
earlier_versions AS (
    SELECT sample_contract.*,
           started_on AS valid_from,
           CASE WHEN contract_no % 211 = 5 THEN changed_on - 120  -- it came back after a gap
                WHEN contract_no % 11 < 5 THEN changed_on        -- its successor's first day
                ELSE changed_on - 1                               -- its own last day
           END AS valid_to
      FROM sample_contract
     WHERE changed_on IS NOT NULL
)
SELECT company_id, plan_code, product_line_code, product_line_name,
       is_strategic, is_existing, extract(year FROM valid_from), contract_status, valid_from, valid_to
  FROM last_versions
 UNION ALL
SELECT company_id, plan_code, product_line_code, product_line_name,
       is_strategic <> (contract_no % 5 = 2),  -- was the opposite in one of five,
       is_existing IS NOT TRUE,                -- and this one in all
       extract(year FROM valid_from), contract_status, valid_from, valid_to
  FROM earlier_versions
 ORDER BY company_id, plan_code, product_line_code, valid_from;

-- ----------------------------------------------------------------------------
-- Awards and losses
-- ----------------------------------------------------------------------------

-- 416 awards: 402 customers have one each, eight of them another one, and six
-- awards name no known customer. The first 96 customers get theirs in the month
-- before their new contract starts; the last 30 never had a contract.
INSERT INTO customer."当年中标" (
       "上报月份", "业务类型", "产品线代码", "上报客户名称", "客户名称", "年金计划号",
       company_id, "机构代码", "中标日期", "计划规模", "年缴规模", "考核有效", "备注")
WITH awards AS (
    SELECT award_no,
           CASE WHEN award_no % 402 < 372
                THEN (award_no % 402 * 7919) % 10110
                ELSE 10266 + award_no % 402 - 372
           END AS rank,
           award_no < 410 AS is_resolved,
           award_no % 10 < 3 AS is_investment,
           (DATE '2024-03-01'
            + make_interval(months => CASE WHEN award_no < 96
                                           THEN 10 + award_no % 12
                                           ELSE award_no % 23
                                      END))::date AS first_of_month
      FROM generate_series(0, 415) AS award_no
),
coded_awards AS (
    SELECT awards.*,
           CASE WHEN is_investment THEN '企年投资' ELSE '企年受托' END AS business_type,
           CASE WHEN is_investment THEN 'PL201' ELSE 'PL202' END AS product_line_code
      FROM awards
)
SELECT first_of_month + CASE WHEN award_no % 29 = 5 THEN 27 ELSE 0 END,
       business_type,
       CASE WHEN award_no % 59 <> 9 THEN coded_awards.product_line_code END,
       -- What nobody could resolve is a branch that the customer list does not know.
       coalesce(customers.company_name, '名称待核实') || CASE WHEN is_resolved THEN '' ELSE '分公司' END,
       CASE WHEN is_resolved THEN customers.company_name END,
       plan_code,
       CASE WHEN is_resolved THEN customers.company_id END,
       customers.branch_code,
       CASE WHEN award_no % 13 <> 7 THEN first_of_month + award_no % 28 END,
       (1 + award_no % 89) * 1250000.5,
       (1 + award_no % 89) * 150000.25,
       (award_no % 3 < 2)::integer,
       CASE WHEN plan_code IS NULL THEN '计划尚未建立' END
  FROM coded_awards
  JOIN sample_customer AS customers USING (rank)
  LEFT JOIN sample_contract AS contracts
    ON contracts.unit = customers.unit
   AND contracts.rank = customers.rank
   AND contracts.product_line_code = coded_awards.product_line_code
   AND contracts.group_no <> 2  -- no second plans: one award, one row
 ORDER BY customers.unit, award_no;

-- 241 losses over 226 customers: ten of them twice, and five losses without a known
-- customer. The first 166 customers (ranks 7, 66, 125, …) are still there, two of them
-- with an award in the month of their loss; the last 60 have left, and are reported in
-- the month they left.
INSERT INTO customer."当年流失" (
       "上报月份", "业务类型", "产品线代码", "上报客户名称", "客户名称", "年金计划号",
       company_id, "机构代码", "流失日期", "计划规模", "年缴规模", "考核有效")
WITH losses AS (
    SELECT loss_no,
           CASE WHEN loss_no IN (22, 45)  -- in January 2026, like the awards 114 and 137
                THEN (loss_no + 92) * 7919 % 10110
                WHEN loss_no % 226 < 166
                THEN loss_no % 226 * 59 + 7
                ELSE 10158 + loss_no % 226 - 166
           END AS rank,
           loss_no < 236 AS is_resolved,
           loss_no % 15 IN (1, 2) AS is_investment,
           (DATE '2024-03-01'
            + make_interval(months => CASE WHEN loss_no BETWEEN 166 AND 225
                                           THEN 10 + (loss_no - 166) % 12
                                           ELSE loss_no % 23
                                      END))::date AS first_of_month
      FROM generate_series(0, 240) AS loss_no
),
coded_losses AS (
    SELECT losses.*,
           CASE WHEN is_investment THEN '企年投资' ELSE '企年受托' END AS business_type,
           CASE WHEN is_investment THEN 'PL201' ELSE 'PL202' END AS product_line_code
      FROM losses
)
SELECT first_of_month + CASE WHEN loss_no % 29 = 5 THEN 27 ELSE 0 END,
       business_type,
       CASE WHEN loss_no % 61 <> 9 THEN coded_losses.product_line_code END,
       coalesce(customers.company_name, '名称待核实') || CASE WHEN is_resolved THEN '' ELSE '分公司' END,
       CASE WHEN is_resolved THEN customers.company_name END,
       plan_code,
       CASE WHEN is_resolved THEN customers.company_id END,
       customers.branch_code,
       CASE WHEN loss_no % 13 <> 7 THEN first_of_month + loss_no % 28 END,
       (1 + loss_no % 83) * 1100000.25,
       (1 + loss_no % 83) * 130000.75,
       (loss_no % 3 < 2)::integer
  FROM coded_losses
  JOIN sample_customer AS customers USING (rank)
  LEFT JOIN sample_contract AS contracts
    ON contracts.unit = customers.unit
   AND contracts.rank = customers.rank
   AND contracts.product_line_code = coded_losses.product_line_code
   AND contracts.group_no <> 2  -- no second plans: one loss, one row
 ORDER BY customers.unit, loss_no;

-- ----------------------------------------------------------------------------
-- AUM detail
-- ----------------------------------------------------------------------------

-- Amounts are integers of 1/10000 yuan until they are stored, which is exact and
-- fast. A portfolio has its latest balance and moves by the same amount each month,
-- so that one month's closing balance is the next one's opening balance.
--
-- A contract's only portfolio, or its second one, always keeps customer and product
-- line, so that every contract with AUM detail has a row that can be attributed to it.
--
-- $1 tells how many months ago the month was: one INSERT a month, as an ETL would do.
PREPARE load_month (integer) AS
INSERT INTO business."规模明细" (
       "月度", "业务类型", "计划类型", "计划代码", "组合代码", "客户名称",
       "期初资产规模", "期末资产规模", "供款", "流失", "投资收益",
       "机构代码", "产品线代码", "年金账户号", company_id)
WITH this_month AS (
    SELECT $1 AS months_ago,
           (DATE '2026-01-01' - make_interval(months => $1))::date AS first_of_month
),
numbered_portfolios AS (
    SELECT sample_contract.*,
           portfolio_no,
           contract_no * 5 + portfolio_no AS serial_no
      FROM sample_contract
     CROSS JOIN generate_series(1, portfolios) AS portfolio_no
),
sized_portfolios AS (
    SELECT numbered_portfolios.*,
           -- Thousands of yuan to a billion, few of them large, with four decimals.
           (1000 + (serial_no * 7919::bigint) % 8999) * 10000
           * ('{1,10,10,100,100,100,100,1000,1000,1000,10000,10000,100000}'::integer[])[1 + contract_no % 13]
           + (serial_no * 7919::bigint) % 10000 AS latest_balance
      FROM numbered_portfolios
),
moving_portfolios AS (
    SELECT sized_portfolios.*,
           -- -0.3 % to +0.7 % of the latest balance a month.
           latest_balance / 1000 * (serial_no % 11 - 3) AS monthly_change
      FROM sized_portfolios
),
balances AS (
    SELECT *,
           -- Which rows are odd changes every two years, for some in each month: what is gone
           -- stays gone for a while.
           serial_no + (months_ago + serial_no % 24) / 24 * 37 AS row_no,
           latest_balance - months_ago * monthly_change AS closing_balance
      FROM this_month
      JOIN moving_portfolios
        ON first_of_month >= started_on
       AND first_of_month <= ended_on
)
SELECT CASE months_ago  -- two months were not loaded under their first day
            WHEN 7 THEN (first_of_month + INTERVAL '1 month')::date - 1
            WHEN 19 THEN first_of_month + 14
            ELSE first_of_month
       END,
       product_line_name,
       plan_type,
       plan_code,
       plan_code || '-' || portfolio_no,
       company_name,
       0.0001 * (closing_balance - monthly_change),
       CASE WHEN row_no % 101 = 2 THEN NULL
            WHEN row_no % 149 = 3 THEN 0
            WHEN row_no % 199 = 5 THEN -0.0001 * (closing_balance / 1000)  -- an adjustment
            ELSE 0.0001 * closing_balance
       END,
       0.0001 * (latest_balance / 200),
       0.0001 * (latest_balance / 250),
       0.0001 * (monthly_change - latest_balance / 200 + latest_balance / 250),
       branch_code,
       CASE WHEN portfolio_no = 1 AND portfolios > 1 AND serial_no % 139 = 4
            THEN 'PL210'  -- 企业年金, a line in which nobody has a contract
            WHEN portfolio_no > 2 AND serial_no % 347 = 6
            THEN NULL
            ELSE product_line_code
       END,
       '86' || company_id || '0' || group_no,
       CASE WHEN portfolio_no > 2 AND serial_no % 29 < 2 THEN NULL ELSE company_id END
  FROM balances
 -- By customer, which the indexes take best; numbers sort faster than text.
 ORDER BY company_no, serial_no;

SELECT format('EXECUTE load_month (%s)', months_ago)
  FROM sample_size
 CROSS JOIN generate_series(months - 1, 0, -1) AS months_ago
 ORDER BY months_ago DESC
\gexec

DEALLOCATE load_month;

COMMIT;

\if :analyze
    ANALYZE customer."年金客户";
    ANALYZE customer.customer_plan_contract;
    ANALYZE customer."当年中标";
    ANALYZE customer."当年流失";
    ANALYZE business."规模明细";
    ANALYZE mapping."产品线";
\endif
