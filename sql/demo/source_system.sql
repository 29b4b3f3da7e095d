-- The tables that the package reads, as WorkDataHub's Alembic migrations leave
-- them: for a demo, a test or a benchmark on a database that has no WorkDataHub.
-- Never run it on the platform itself; there it stops at the first table.
--
--   psql -v ON_ERROR_STOP=1 -f sql/demo/source_system.sql
--
-- Columns that admit NULL here admit NULL there, and what has no foreign or
-- unique key here has none there. sql/demo/sample_data.sql fills the tables.

SET client_encoding = 'UTF8';

BEGIN;

CREATE SCHEMA IF NOT EXISTS customer;
CREATE SCHEMA IF NOT EXISTS mapping;
CREATE SCHEMA IF NOT EXISTS business;

-- Customers. The platform has some thirty columns more; these stand for them.

CREATE TABLE customer."年金客户" (
    company_id      varchar NOT NULL PRIMARY KEY,
    "客户名称"      varchar,
    "客户简称"      varchar,
    "年金客户类型"  varchar,
    "所属行业"      varchar,
    "注册地"        varchar,
    "成立日期"      date,
    "更新时间"      timestamptz DEFAULT CURRENT_TIMESTAMP
);

-- Product lines: reference data, so the rows come with the table.

CREATE TABLE mapping."产品线" (
    "产品线代码"    varchar NOT NULL PRIMARY KEY,
    "产品线"        varchar,
    "产品类别"      varchar,
    "业务大类"      varchar
);

INSERT INTO mapping."产品线" ("产品线代码", "产品线", "产品类别", "业务大类")
VALUES ('PL201', '企年投资', '企业年金', '投资'),
       ('PL202', '企年受托', '企业年金', '受托'),
       ('PL203', '职年投资', '职业年金', '投资'),
       ('PL204', '职年受托', '职业年金', '受托'),
       ('PL205', '自有险资', '保险资金', '投资'),
       ('PL206', '直投',     '另类投资', '投资'),
       ('PL207', '三方',     '第三方',   '投资'),
       ('PL208', '团养',     '团体养老', '保险'),
       ('PL209', '企康',     '企业健康', '保险'),
       ('PL210', '企业年金', '企业年金', '综合'),
       ('PL211', '职业年金', '职业年金', '综合'),
       ('PL301', '其他',     '其他',     '其他');

-- Contracts, one row a version; valid_to 9999-12-31 marks the current one.

CREATE TABLE customer.customer_plan_contract (
    contract_id        serial PRIMARY KEY,
    company_id         varchar NOT NULL,
    plan_code          varchar NOT NULL,
    product_line_code  varchar(20) NOT NULL,
    product_line_name  varchar(50) NOT NULL,
    is_strategic       boolean DEFAULT FALSE,
    is_existing        boolean DEFAULT FALSE,
    status_year        integer NOT NULL,
    contract_status    varchar(20) NOT NULL,
    valid_from         date NOT NULL,
    valid_to           date DEFAULT '9999-12-31',
    created_at         timestamptz DEFAULT CURRENT_TIMESTAMP,
    updated_at         timestamptz DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT fk_contract_company
        FOREIGN KEY (company_id) REFERENCES customer."年金客户" (company_id),
    CONSTRAINT fk_contract_product_line
        FOREIGN KEY (product_line_code) REFERENCES mapping."产品线" ("产品线代码"),
    CONSTRAINT uq_active_contract
        UNIQUE (company_id, plan_code, product_line_code, valid_to)
);

CREATE INDEX idx_contract_company ON customer.customer_plan_contract (company_id);
CREATE INDEX idx_contract_plan ON customer.customer_plan_contract (plan_code);
CREATE INDEX idx_contract_product_line ON customer.customer_plan_contract (product_line_code);
CREATE INDEX idx_contract_status_year ON customer.customer_plan_contract (status_year);
CREATE INDEX idx_contract_strategic ON customer.customer_plan_contract (is_strategic)
    WHERE is_strategic;
CREATE INDEX idx_active_contracts
    ON customer.customer_plan_contract (company_id, plan_code, product_line_code)
    WHERE valid_to = '9999-12-31';
CREATE INDEX idx_contract_valid_from_brin
    ON customer.customer_plan_contract USING brin (valid_from);

CREATE FUNCTION customer.set_contract_updated_at()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.updated_at := CURRENT_TIMESTAMP;
    RETURN NEW;
END;
$$;

CREATE TRIGGER trg_contract_updated_at
    BEFORE UPDATE ON customer.customer_plan_contract
    FOR EACH ROW
    EXECUTE FUNCTION customer.set_contract_updated_at();

-- Awards won. No foreign key and no unique key: one award can be there twice.

CREATE TABLE customer."当年中标" (
    id              serial PRIMARY KEY,
    "上报月份"      date NOT NULL,
    "业务类型"      varchar(20) NOT NULL,
    "产品线代码"    varchar(10),
    "上报客户名称"  varchar(255) NOT NULL,
    "客户名称"      varchar(255),
    "年金计划号"    varchar(50),
    company_id      varchar(50),
    "机构代码"      varchar(10) NOT NULL DEFAULT 'G00',
    "中标日期"      date,
    "计划规模"      numeric(18,4),
    "年缴规模"      numeric(18,4),
    "考核有效"      integer DEFAULT 0,
    "备注"          text,
    created_at      timestamptz DEFAULT CURRENT_TIMESTAMP,
    updated_at      timestamptz DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX "ix_当年中标_上报月份" ON customer."当年中标" ("上报月份");
CREATE INDEX "ix_当年中标_业务类型" ON customer."当年中标" ("业务类型");
CREATE INDEX "ix_当年中标_company_id" ON customer."当年中标" (company_id);
CREATE INDEX "ix_当年中标_年金计划号" ON customer."当年中标" ("年金计划号");

-- Losses, of the same shape.

CREATE TABLE customer."当年流失" (
    id              serial PRIMARY KEY,
    "上报月份"      date NOT NULL,
    "业务类型"      varchar(20) NOT NULL,
    "产品线代码"    varchar(10),
    "上报客户名称"  varchar(255) NOT NULL,
    "客户名称"      varchar(255),
    "年金计划号"    varchar(50),
    company_id      varchar(50),
    "机构代码"      varchar(10) NOT NULL DEFAULT 'G00',
    "流失日期"      date,
    "计划规模"      numeric(18,4),
    "年缴规模"      numeric(18,4),
    "考核有效"      integer DEFAULT 0,
    "备注"          text,
    created_at      timestamptz DEFAULT CURRENT_TIMESTAMP,
    updated_at      timestamptz DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX "ix_当年流失_上报月份" ON customer."当年流失" ("上报月份");
CREATE INDEX "ix_当年流失_业务类型" ON customer."当年流失" ("业务类型");
CREATE INDEX "ix_当年流失_company_id" ON customer."当年流失" (company_id);
CREATE INDEX "ix_当年流失_年金计划号" ON customer."当年流失" ("年金计划号");

-- AUM detail, one row a month and portfolio of a contract, without foreign keys.

CREATE TABLE business."规模明细" (
    id              integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    "月度"          date NOT NULL,
    "业务类型"      varchar(255),
    "计划类型"      varchar(255),
    "计划代码"      varchar(255) NOT NULL,
    "组合代码"      varchar(255),
    "客户名称"      varchar(255),
    "期初资产规模"  numeric(18,4),
    "期末资产规模"  numeric(18,4),
    "供款"          numeric(18,4),
    "流失"          numeric(18,4),
    "投资收益"      numeric(18,4),
    "机构代码"      varchar(255),
    "产品线代码"    varchar(255),
    "年金账户号"    varchar(50),
    company_id      varchar(50)
);

CREATE INDEX "ix_规模明细_月度" ON business."规模明细" ("月度");
CREATE INDEX "ix_规模明细_计划代码" ON business."规模明细" ("计划代码");
CREATE INDEX "ix_规模明细_company_id" ON business."规模明细" (company_id);
CREATE INDEX "ix_规模明细_机构代码" ON business."规模明细" ("机构代码");
CREATE INDEX "ix_规模明细_产品线代码" ON business."规模明细" ("产品线代码");
CREATE INDEX "ix_规模明细_年金账户号" ON business."规模明细" ("年金账户号");
CREATE INDEX "ix_规模明细_月度_计划代码" ON business."规模明细" ("月度", "计划代码");
CREATE INDEX "ix_规模明细_月度_company_id" ON business."规模明细" ("月度", company_id);
CREATE INDEX "ix_规模明细_月度_计划代码_company_id"
    ON business."规模明细" ("月度", "计划代码", company_id);

COMMIT;
