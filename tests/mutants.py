"""Break the package in hundreds of small ways, and see whether a test notices each of them.

    .venv/bin/python tests/mutants.py --only write_monthly

A mutant is a change to one place of one file that breaks a promise: one of TABLE, or one that
RULES make wherever they find what they look for. A copy of the project with that change is
deployed on a private server, and its tests run: all of pgTAP and, if it survives them,
tests/integration up to the first failure. What survives both is listed: a promise that no
test keeps, or no change of behaviour, which then belongs into SAME.

What compares the code with itself as it once was (hashes in verify/, tests/golden/schema.txt)
notices everything, and therefore does not count.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

PROJECT = Path(__file__).resolve().parents[1]

# What no test of pgTAP can see.
PYTEST_ONLY = ("deploy/adopt_existing_table.sql", "revert/", "sql/")

# For every place that the expression finds in the rest, but in comments: what takes its place.
RULES = (
    # Conditions.
    (r"^ +(?:AND|OR) .+?(?=;?$)", ""),
    (r"\bIF .+ THEN$", "IF FALSE THEN"),
    (r"^ +WHEN .+? THEN\b", "WHEN FALSE THEN"),
    (r"(?<= [<>])=(?= )", ""),
    (r"(?<= [<>])(?= )", "="),
    # Values.
    (r"^ +stored\.(\w+)(?=,?$)", r"supported.\1"),
    (r"\bsession_user\b", "current_user"),
    (r"\bclock_timestamp\(\)", "now()"),
    (r"\bERRCODE = '\w+'", "ERRCODE = 'raise_exception'"),
    # What is left out: words, assignments, rights.
    (r"\bDISTINCT (?!FROM|ON)| DESC\b", ""),
    (r"^ +(\w+) = (?:EXCLUDED\.\1|v_\w+),$", ""),
    (r"^SECURITY DEFINER$|^SET row_security = .*", ""),
    (r"^ +PERFORM customer\.\w+\(.*\);$", ""),
    # What is left out of a sum, or for want of a row.
    (r" FILTER \(WHERE (?:[^()]|\([^()]*\))*\)", ""),
    (r"\bCASE WHEN .+ THEN (?=.+ END\b)", "CASE WHEN TRUE THEN "),
    (r"\bcoalesce\(((?:[^()]|\([^()]*\))+), 0(?:\.00)?\)", r"\1"),
    (r"\bLEFT JOIN\b", "JOIN"),
    (r"<> 0\b", "> 0"),
)

# "== FILES", and below it "TEXT | what takes its place | what else does". The text must be found
# just once, or twice if it is "TEXT #2", and so on; each is a mutant. A space stands for any
# white space. Words in braces are taken one by one, and "{}" is the same word again.
TABLE = r"""
== deploy/sources.sql
WHEN has_table_privilege(:'contracts', 'SELECT') THEN | WHEN TRUE THEN
EXECUTE format('REVOKE ALL ON {ROUTINE TABLE} %s FROM PUBLIC' | PERFORM format('REVOKE ALL ON {} %s FROM PUBLIC'
EXECUTE format('REVOKE ALL ON {ROUTINE TABLE} %s FROM %s' | PERFORM format('REVOKE ALL ON {} %s FROM %s'
ELSIF v_source.found @> ARRAY[v_remembered ->> v_source.source] THEN | ELSIF FALSE THEN
AND proowner <> (SELECT oid | AND oid <> (SELECT oid
has_schema_privilege(to_regnamespace('customer'), 'CREATE') | TRUE
has_schema_privilege(to_regnamespace('customer'), 'USAGE') #2 | TRUE
has_schema_privilege(schema_oid, 'USAGE') FROM source | TRUE FROM source
has_any_column_privilege(table_oid, '{SELECT REFERENCES}') | TRUE | FALSE
WHERE source IN ('customers', 'product_lines') | WHERE source = '{customers product_lines}'
, 'customer."{客户年金计划 中标客户明细 流失客户明细 客户明细}"']) |  ])
SELECT DISTINCT grantee::regrole FROM pg_{proc class} | SELECT 'pg_monitor'::regrole FROM pg_{}
v_source.found[1], v_source.names[1] | v_source.names[1]
) AS required (position, source, column_name, kind) | ) AS required (position, source, column_name, kind) JOIN (SELECT) AS omitted ON position <> {2 7 9 10 15 18 19 20 21}
pg_class.relkind IN ('r', 'p', 'v', 'm', 'f') | pg_class.relkind = ANY (array_remove(ARRAY['r', 'p', 'v', 'm', 'f'], '{r p v m f}'))
THEN typcategory = 'S' | THEN TRUE | THEN base_type = 'text'::regtype
WHERE has_column_privilege(attrelid, attnum, 'SELECT') ) AS readable | ) AS readable
WHEN 'key' THEN base_type | WHEN 'key' THEN base_type <> '{varchar text bpchar}'::regtype AND base_type
base_type = 'boolean'::regtype | base_type IN ('boolean'::regtype, 'integer'::regtype)
WHEN 'date or timestamp' THEN base_type IN ( | WHEN 'date or timestamp' THEN base_type IN ('timestamptz'::regtype,
WHEN 'whole number' THEN base_type IN ( | WHEN 'whole number' THEN base_type IN ('numeric'::regtype,
WHEN 'exact number' THEN base_type IN ( | WHEN 'exact number' THEN base_type IN ('{real money}'::regtype,
has_schema_privilege(owner.oid, schema_oid, 'USAGE') | TRUE
has_column_privilege(owner.oid, table_oid, attnum, 'SELECT') | has_table_privilege(owner.oid, table_oid, 'SELECT') | has_column_privilege(current_user, table_oid, attnum, 'SELECT')
attnum, 'REFERENCES') | attnum, 'SELECT')
WHEN undefined_table OR undefined_column OR feature_not_supported THEN | WHEN undefined_table THEN | WHEN undefined_column THEN
ON deployed.type_name <> found.type_names[deployed.position]; | ON FALSE;
WHERE attname IS NULL | WHERE relname IS NULL
ERRCODE = 'object_not_in_prerequisite_state', HINT = format( 'As the owner | ERRCODE = 'raise_exception', HINT = format( 'As the owner
PERFORM convert_to(p_text, pg_client_encoding()); | ;
(array_agg(deployed.source ORDER BY deployed.position))[1] #2 | min(deployed.source)
valid_to = DATE '9999-12-31' | valid_to >= CURRENT_DATE | coalesce(valid_to, DATE '9999-12-31') = DATE '9999-12-31'
valid_from::date #2 | valid_from::date + 1
valid_to::date #3 | valid_to::date + 1
~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' AND | IS NOT NULL AND
"上报月份"::date #4 | "上报月份"::date + 40
"月度"::date, | "月度"::date + 1,
"期末资产规模"::numeric | round("期末资产规模"::numeric, 2)
FROM %s WHERE valid_to = '9999-12-31' | FROM %s
"月度"::date BETWEEN p_first_day AND p_last_day | "月度"::date > p_first_day AND "月度"::date <= p_last_day | "月度"::date >= p_first_day AND "月度"::date < p_last_day
extract(year FROM "上报月份") = extract(year FROM p_last_day) #2 | TRUE
AND "上报月份" < p_last_event_day + 1 ) #2 | )
SET LOCAL row_security = off; FOREACH | FOREACH
WHEN insufficient_privilege | WHEN division_by_zero
ON child.inhparent = part.oid | ON FALSE
WHERE seen.oid IS NULL OR | WHERE
AND seen.relname <> | AND FALSE AND seen.relname <>
AND seen.relispartition | AND FALSE
== deploy/setting_is_on.sql
nullif(current_setting(p_setting, TRUE), '') | current_setting(p_setting, TRUE) | nullif(current_setting(p_setting), '')
coalesce(v_value::boolean, p_default) | coalesce(v_value = 'on', p_default) | coalesce(v_value::boolean, TRUE) | coalesce(v_value::boolean, FALSE)
== deploy/warn.sql
RAISE WARNING '%', p_message USING HINT = p_hint; |
== deploy/baseline_month_of.sql
integer := 12 | integer := 11 | integer := 13
(p_snapshot_month + 1 + make_interval(months => distance))::date - 1 | (p_snapshot_month + make_interval(months => distance))::date
ORDER BY abs(distance), distance | ORDER BY distance | ORDER BY abs(distance), distance DESC
== deploy/judge_monthly_snapshot.sql
c_least_share CONSTANT numeric := 0.5 | c_least_share CONSTANT numeric := 0.499 | c_least_share CONSTANT numeric := 0.501
c_least_aum_share_of_neighbour CONSTANT numeric := 0.1 | c_least_aum_share_of_neighbour CONSTANT numeric := 0.0999 | c_least_aum_share_of_neighbour CONSTANT numeric := 0.1001
c_most_{change unattributed} CONSTANT numeric := 0.1 | c_most_{} CONSTANT numeric := 0.0999 | c_most_{} CONSTANT numeric := 0.1001
integer := 100 | integer := 99 | integer := 101
p_baseline_month = p_snapshot_month | TRUE | FALSE
p_has_stored_aum IS NULL | TRUE
is_error := p_has_stored_aum; | is_error := TRUE; | is_error := FALSE;
v_is_baseline_large AND v_share < c_least_share | v_share < c_least_share | v_is_baseline_large
v_is_baseline_large AND v_share < v_least_share | v_share < v_least_share
abs(v_share - 1) > c_most_change #2 | v_share - 1 > c_most_change | 1 - v_share > c_most_change
nullif(p_{baseline_rows baseline_aum}, 0) | p_{}
nullif(p_absolute_aum + p_unattributed_aum, 0) | (p_absolute_aum + p_unattributed_aum) | p_absolute_aum | p_unattributed_aum
nullif(p_baseline_rows, 0)::numeric | nullif(p_baseline_rows, 0)
trunc(100 * {c_least_share v_least_share}) | 40
RETURN NEXT; #5 |
== deploy/write_monthly_snapshot.sql
customer.lock_open_snapshot_month(v_month); | customer.lock_snapshot_month(v_month);
v_control := customer.lock_open_snapshot_month(v_month); | SELECT * INTO v_control FROM customer.monthly_snapshot_control WHERE snapshot_month = v_month;
coalesce(v_control.last_rule, 'current') | 'current'
FILTER (WHERE as_of <> v_month_start) | FILTER (WHERE FALSE)
(v_year_start + INTERVAL '1 year')::date | (v_year_start + INTERVAL '11 months')::date
v_baseline_{rows aum} := v_control.baseline_{} |
reported_on >= v_year_start #2 | reported_on >= v_month_start | TRUE
sum(amount) | sum(round(amount, 2)) | max(amount)
NOT v_is_as_of AND is_current | is_current
DISTINCT ON (company_id COLLATE "C", product_line_code COLLATE "C", plan_code COLLATE "C") | DISTINCT ON (company_id COLLATE "C", product_line_code COLLATE "C")
product_line_name COLLATE "C" AS product_line_name, is_strategic, is_existing FROM customer.source_contracts() WHERE NOT | product_line_name COLLATE "zh-x-icu" AS product_line_name, is_strategic, is_existing FROM customer.source_contracts() WHERE NOT
coalesce(bool_or(is_{strategic existing}), FALSE) | bool_or(is_{}) | coalesce(bool_and(is_{}), FALSE)
max(product_line_name) | min(product_line_name)
FULL JOIN {stored detail} | LEFT JOIN {} | RIGHT JOIN {}
coalesce(sourced.{product_line_name is_strategic is_existing plan_count}, stored.{}) | coalesce(stored.{}, sourced.{}) | sourced.{}
winning.company_id IS NOT NULL AND NOT known.is_existing | winning.company_id IS NOT NULL
{winning churned}.company_id IS NOT NULL AS | known.detail_aum IS NOT NULL AS
coalesce(round(sourced.aum, 2), 0.00) | coalesce(round(sourced.aum, 1), 0.00) | coalesce(trunc(sourced.aum, 2), 0.00)
stored_aum_balance = 0 OR rows_of_other_days IS NOT NULL AS | rows_of_other_days IS NOT NULL AS | stored_aum_balance = 0 AS | TRUE AS
covering.company_id IS NOT NULL AND has_its_aum AS | has_its_aum AS | covering.company_id IS NOT NULL AS
WHERE is_stale AND is_updated #2 | WHERE is_updated
(NOT is_stored OR is_updated) | NOT is_stored | is_updated
length(product_line_code) <= 20 | TRUE
FROM changed WHERE NOT EXISTS (SELECT 1 FROM unfit) | FROM changed
IN ('NaN', 'Infinity', '-Infinity') #2 | IN ('Infinity', '-Infinity') | IN ('NaN', '-Infinity') | IN ('NaN', 'Infinity')
WHERE snapshot_month = v_baseline_month | WHERE FALSE
WHERE NOT unsupported.is_stale | WHERE TRUE
(SELECT count(*) FROM unsupported WHERE is_stale) AS stale | (SELECT count(*) FROM unsupported) AS stale
(SELECT sum(aum_balance) FROM deleted) | 0
(SELECT coalesce(sum(aum_balance), 0.00) FROM unsupported WHERE is_stale) | (SELECT coalesce(sum(aum_balance), 0.00) FROM unsupported) | 0.00
WHERE aum_balance <> 0 | | WHERE aum_balance > 0 | WHERE aum_balance <> 0 AND snapshot_month = v_month
sum(abs(aum_balance)) | sum(aum_balance)
AND is_stored ), |),
v_control.last_log_id IS NOT NULL OR | FALSE OR | TRUE OR
pg_trigger_depth()) WHERE snapshot_month = v_month | pg_trigger_depth() + 1) WHERE snapshot_month = v_month | 0) WHERE FALSE
FALSE AS is_deleted FROM changed | FALSE AS is_deleted FROM changed WHERE FALSE | FALSE AS is_deleted FROM compared
TRUE FROM unsupported WHERE NOT is_stale | TRUE FROM unsupported WHERE FALSE | TRUE FROM unsupported
before.snapshot_month = v_month AND |
WHERE v_keeps_history AND | WHERE
v_count.total + v_count.stale, | v_count.total,
v_count.aum_total + v_count.stale_aum, | v_count.aum_total,
greatest(last_log_id, v_log_id) | v_log_id | greatest(last_log_id, 0)
, writer = v_control.writer WHERE | WHERE | , writer = NULL WHERE
round(v_count.unattributed_aum, 2) | round(v_count.unattributed_aum, 1)
v_count.aum_total + v_count.unattributed_aum IN | v_count.aum_total IN | v_count.unattributed_aum IN
v_is_as_of AND v_count.total = 0 | v_count.total = 0
+ v_count.stale_updated; | ;
v_count.aum_total - 2 * v_count.negative_aum | v_count.aum_total
v_baseline_{rows aum} := v_count.baseline_{}; |
p_rows => v_count.total | p_rows => v_upserted
p_unattributed_aum => v_count.unattributed_aum - 2 * v_count.negative_unattributed_aum | p_unattributed_aum => v_count.unattributed_aum
v_finding.is_error AND NOT v_accepts_implausible | v_finding.is_error
v_is_accepted OR v_finding.is_error | v_finding.is_error | TRUE | FALSE
v_count.deleted > 0 AND p_operation = 'refresh' | v_count.deleted > 0 | FALSE
NOT v_is_as_of AND v_newest_month > v_month | v_newest_month > v_month | NOT v_is_as_of
baseline_aum = v_absolute_aum | baseline_aum = v_count.aum_total
'reason', p_reason | 'reason', NULL
'{rule upserted stale deleted accepted warnings}', v | '{}', NULL, 'other', v
SET writer = concat_ws(' ', pg_current_xact_id(), pg_trigger_depth()) | SET writer = writer
v_is_changed := v_upserted + v_count.deleted > 0 | v_is_changed := v_upserted > 0 | v_is_changed := v_count.deleted > 0 | v_is_changed := v_count.inserted + v_count.updated + v_count.deleted > 0
WHERE is_stale GROUP BY product_line_code | GROUP BY product_line_code
v_count.stale_by_product_line := NULL; | | v_count.stale_by_product_line := '[]';
IF v_is_changed OR v_count.stale_by_product_line IS DISTINCT FROM ( SELECT | IF v_is_changed AND NULL IS DISTINCT FROM ( SELECT
ORDER BY product_line_code COLLATE "C" ) | ORDER BY product_line_code COLLATE "C" DESC )
customer.summarise_snapshot_month(v_month, v_count.stale_by_product_line) | customer.summarise_snapshot_month(v_month, '[]')
== deploy/snapshot_month_of.sql
DATE '0001-01-01' AND | DATE '4000-01-01 BC' AND | DATE '0001-01-02' AND
DATE '9999-12-31' THEN | DATE '9999-12-30' THEN | 'infinity' THEN
+ INTERVAL '1 month - 1 day' |
== deploy/period_to_snapshot_month.sql
0[1-9]| | 0[0-9]|
)$' OR | )' OR
'^[0-9]{4} | '[0-9]{4}
== deploy/require_reason.sql
integer := 1000 | integer := 999 | integer := 1001
\\x01-\\x1f\\x7f | \\x02-\\x1f\\x7f | \\x01-\\x1e\\x7f | \\x01-\\x1f
v_blanks text := ' ' || CASE | v_blanks text := 'x' || CASE
160, 5760 | 5760
to_json(p_reason) | p_reason
== deploy/lock_snapshot_month.sql
FOR UPDATE; | ; | FOR SHARE; | ; PERFORM pg_advisory_xact_lock(p_snapshot_month - DATE '2000-01-01');
== deploy/close_snapshot_month.sql
v_control := customer.lock_open_snapshot_month(v_month); | v_control := customer.lock_snapshot_month(v_month); | INSERT INTO customer.monthly_snapshot_control VALUES (v_month) ON CONFLICT DO NOTHING;
v_warnings := v_warnings || customer.warn( #2 | v_warnings := customer.warn(
'warnings', v_warnings | 'warnings', jsonb_build_array()
'reason', p_note | 'reason', NULL
(v_month, v_log_id); | (v_month, 0);
closed_{rows aum} = v_totals. | closed_{} = 0 * v_totals.
closed_sha256 = v_totals.sha256 | closed_sha256 = ''
== deploy/discard_snapshot_month.sql
WHERE snapshot_month = v_month; WITH | WHERE FALSE; WITH
DELETE FROM customer.fct_customer_business_monthly_status WHERE snapshot_month = v_month | DELETE FROM customer.fct_customer_business_monthly_status WHERE snapshot_month <= v_month
FROM deleted; | FROM deleted WHERE plan_count < 0;
greatest(last_log_id, v_log_id) | last_log_id
, writer = v_control.writer WHERE | WHERE | , writer = NULL WHERE
v_deleted = 0 AND v_control.last_rule IS NULL | v_deleted = 0 | v_control.last_rule IS NULL
WHERE snapshot_month = v_month; #2 | ;
last_rule = NULL, |
{baseline_rows baseline_aum} = NULL, | {} = {},
== deploy/pre_etl_check.sql
'annuity_performance'; | 'annuity_income';
['annual_award', 'annual_loss'] | ['annual_award', 'annual_award'] | ['annual_loss', 'annual_loss']
p_domain <> ALL (c_aum_domain || c_event_domains) | lower(trim(p_domain)) <> ALL (c_aum_domain || c_event_domains) | p_domain NOT LIKE 'ann%'
v_control := customer.lock_snapshot_month(v_month); | SELECT * INTO v_control FROM customer.monthly_snapshot_control WHERE snapshot_month = v_month;
WHEN p_period IS NULL THEN CURRENT_DATE | WHEN TRUE THEN CURRENT_DATE | WHEN p_period IS NULL THEN CURRENT_DATE - 32
v_control.closed_at IS NOT NULL AND p_domain = c_aum_domain | v_control.closed_at IS NOT NULL
ELSIF v_control.closed_at IS NOT NULL THEN | ELSIF FALSE THEN | ELSE
v_status := 'skipped'; #2 |
'warnings', v_warnings | 'warnings', jsonb_build_array()
'reason', v_reason | 'reason', NULL
== deploy/reopen_snapshot_month.sql
v_control := customer.lock_snapshot_month(v_month); | SELECT * INTO v_control FROM customer.monthly_snapshot_control WHERE snapshot_month = v_month;
== deploy/guard_closed_months.sql
pg_trigger_depth() - 1) | pg_trigger_depth()) | 0)
MODE NOWAIT | MODE
EXCEPTION WHEN lock_not_available | EXCEPTION WHEN division_by_zero
IF EXISTS (SELECT 1 FROM customer.monthly_snapshot_control WHERE writer = v_writer) THEN | IF EXISTS (SELECT 1 FROM customer.monthly_snapshot_control WHERE writer IS NOT NULL) THEN
, 'read uncommitted') | )
sum(aum_balance) AS aum_change FROM new_row | NULL::numeric AS aum_change FROM new_row
UNION ALL SELECT snapshot_month, 1, aum_balance FROM new_row |
SELECT snapshot_month, -1 AS row_count, -aum_balance AS aum FROM old_row UNION ALL SELECT snapshot_month, 1, aum_balance | SELECT snapshot_month, 1 AS row_count, aum_balance AS aum
-count(*) AS row_change, -sum(aum_balance) | count(*) AS row_change, -sum(aum_balance) | -count(*) AS row_change, sum(aum_balance)
FULL JOIN customer.monthly_snapshot_control | LEFT JOIN customer.monthly_snapshot_control | RIGHT JOIN customer.monthly_snapshot_control
v_control := customer.lock_open_snapshot_month(v_month); | v_control := customer.lock_snapshot_month(v_month);
array_agg(snapshot_month ORDER BY snapshot_month) AS months #4 | array_agg(snapshot_month ORDER BY snapshot_month DESC) AS months
AND (control.last_log_id IS NOT NULL OR control.writer IS NOT NULL) #1 | | AND control.last_log_id IS NOT NULL | AND control.writer IS NOT NULL
AND (before.plan_count IS NOT NULL OR control.last_log_id IS NOT NULL OR control.writer IS NOT NULL) | | AND before.plan_count IS NOT NULL
before.aum_balance, before.plan_count, before.updated_at FROM | after.aum_balance, before.plan_count, before.updated_at FROM | before.aum_balance, before.plan_count, after.updated_at FROM
ON after.snapshot_month = before.snapshot_month AND | ON
IF TG_OP IN ('INSERT', 'UPDATE') THEN | IF TG_OP IN ('INSERT') THEN | IF TG_OP IN ('UPDATE') THEN
IF TG_OP IN ('UPDATE', 'DELETE') AND | IF TG_OP IN ('UPDATE') AND | IF TG_OP IN ('DELETE') AND
v_event.inserted := v_entry.row_change; |
v_entry.earlier_rows + v_entry.row_change | v_entry.row_change
v_entry.earlier_aum + v_entry.aum_change | v_entry.aum_change
SELECT max(stored.updated_at) | SELECT min(stored.updated_at)
v_is_change := v_event.inserted + v_event.updated + v_event.deleted > 0 | v_is_change := TRUE | v_is_change := v_event.inserted + v_event.deleted > 0
IS DISTINCT FROM (summary.row_count, summary.aum_balance) | IS DISTINCT FROM (count(*), sum(stored.aum_balance))
BEFORE INSERT OR UPDATE OR DELETE ON | BEFORE INSERT OR UPDATE ON | BEFORE INSERT OR DELETE ON | BEFORE UPDATE OR DELETE ON
WHERE control.last_log_id IS NULL GROUP | GROUP
== deploy/monthly_status_history.sql
BEFORE UPDATE OR DELETE OR TRUNCATE | BEFORE UPDATE OR DELETE | BEFORE UPDATE OR TRUNCATE | BEFORE DELETE OR TRUNCATE
FOR EACH STATEMENT EXECUTE FUNCTION customer.keep_history(); | FOR EACH STATEMENT WHEN (FALSE) EXECUTE FUNCTION customer.keep_history();
'insert' THEN 9 ELSE 0 END | 'insert' THEN 9 ELSE num_nulls(product_line_name) END | 'delete' THEN 9 ELSE 0 END
CALL customer.revoke_default_grants('customer.monthly_status_history'::regclass); |
== deploy/snapshot_rows_after.sql
WHERE history.snapshot_month = p_snapshot_month AND history.log_id | WHERE history.log_id
history.product_line_code COLLATE "C", history.log_id | history.product_line_code COLLATE "C", history.log_id DESC
WHERE first_event.operation <> 'insert' |
ORDER BY convert_to(version.company_id, 'UTF8'), convert_to(version.product_line_code, 'UTF8') | ORDER BY convert_to(version.product_line_code, 'UTF8'), convert_to(version.company_id, 'UTF8') | ORDER BY version.company_id COLLATE "zh-x-icu", version.product_line_code
version.{product_line_name is_strategic is_existing is_new is_winning_this_year is_churned_this_year aum_balance}, | NULL,
version.{company_id product_line_code}, version | NULL, version
, version.plan_count )::text | )::text
), '' ), 'UTF8' | ), NULL ), 'UTF8'
== deploy/monthly_status_as_at.sql
FROM customer.snapshot_rows_after(v_month, p_log_id); | FROM customer.snapshot_rows_after(v_month, p_log_id + 1);
(v_month, p_log_id) #2 | (p_snapshot_month, p_log_id)
(v_totals.row_count, v_totals.aum, v_totals.sha256) IS DISTINCT | (1, 1::numeric, '') IS DISTINCT
== deploy/published_changes.sql
max(entry.log_id) INTO | min(entry.log_id) INTO
ORDER BY history.log_id ) = 1 | ORDER BY history.log_id DESC ) = 1
PARTITION BY history.company_id COLLATE "C", history.product_line_code COLLATE "C" | PARTITION BY history.company_id COLLATE "C"
stored.snapshot_month = v_month AND |
WHERE cell.earlier_value IS DISTINCT FROM cell.current_value | | WHERE cell.earlier_value <> cell.current_value
HAVING bool_or(difference.is_published) |
max(difference.log_id) | min(difference.log_id)
coalesce(changed_value.{current published}_value, '0')::numeric | changed_value.{}_value::numeric
changed_value.product_line_code, changed_value.position; | changed_value.product_line_code;
event.{product_line_name is_strategic is_existing is_new is_winning_this_year is_churned_this_year aum_balance plan_count}::text | NULL
== deploy/post_etl_hook.sql
p_domain IS NOT NULL AND NOT customer | NOT customer
setting_is_on('customer.post_etl_hooks', TRUE) | setting_is_on('customer.post_etl_hooks', FALSE)
RETURN c_skipped || v_check; | RETURN v_check; | RETURN c_skipped;
RETURN c_skipped || v_check || | RETURN v_check || | RETURN c_skipped ||
IF p_domain <> 'annuity_performance' AND NOT EXISTS | IF NOT EXISTS
== deploy/fct_customer_business_monthly_status.sql
isfinite(snapshot_month) AND extract | extract
NEW.updated_at := CURRENT_TIMESTAMP; | | NEW.updated_at := clock_timestamp();
== deploy/validate_monthly_snapshot.sql
v_year + v_month / 12 | v_year
operation IN ('refresh', 'restate', 'discard', 'adopt') | operation IN (SELECT unnest(array_remove(ARRAY['refresh', 'restate', 'discard', 'adopt'], '{refresh restate discard adopt}')))
operation IN ('close', 'reopen') | operation = 'close' | operation = 'reopen'
coalesce(v_closing.accepted, FALSE) | TRUE | FALSE
v_last_day BETWEEN contract.valid_from AND contract.valid_to #2 | v_last_day BETWEEN contract.valid_from AND contract.valid_to - 1 | v_last_day BETWEEN contract.valid_from + 1 AND contract.valid_to
ELSE coalesce(contract.is_current, FALSE) | ELSE TRUE
PARTITION BY contract.company_id COLLATE "C", contract.plan_code COLLATE "C", | PARTITION BY contract.company_id COLLATE "C", | PARTITION BY contract.plan_code COLLATE "C",
source_aum(v_first_day, v_last_day) | source_aum(v_first_day + 1, v_last_day) | source_aum(v_first_day, v_last_day - 1)
(PARTITION BY standing.company_id) | ()
(standing.stored_aum = 0 OR standing.details > 0) | standing.stored_aum = 0 | standing.details > 0 | TRUE
(standing.is_by_hand AND v_closed_with_errors) #2 | standing.is_by_hand | v_closed_with_errors | FALSE
v_is_newest AND (standing.stored_rows > 0 OR standing.is_covered) | v_is_newest | v_is_newest AND standing.is_covered | v_is_newest AND standing.stored_rows > 0 | FALSE
('{product_line_name is_strategic is_existing plan_count}', judged.is_stale OR | ('{}', judged.is_stored OR | ('{}',
('{is_new is_winning_this_year is_churned_this_year}', judged. | ('{}', judged.is_stored OR judged.
judged.stored_aum <> round(judged.aum, 2) | judged.stored_aum <> judged.aum
'aum_balance', judged.aum_severity | 'aum_balance', judged.severity
judged.is_covered AND round(judged.aum, 2) <> 0 | judged.is_covered | round(judged.aum, 2) <> 0 | judged.is_covered AND judged.aum <> 0
1, judged.aum FROM judged WHERE judged.is_supported | 1, NULL FROM judged WHERE judged.is_supported
1, judged.stored_aum FROM judged WHERE judged.is_stored AND NOT judged.is_supported | 1, NULL FROM judged WHERE judged.is_stored AND NOT judged.is_supported
'stale_row', 'warning', judged.company_id, judged.product_line_code, 1, judged.stored_aum | 'stale_row', 'warning', judged.company_id, judged.product_line_code, 1, NULL
'temporary_customer', 'info', judged.company_id, judged.product_line_code, 1, judged.stored_aum | 'temporary_customer', 'info', judged.company_id, judged.product_line_code, 1, NULL
WHERE v_rule = 'as_of' | WHERE TRUE
'unmatched_{award loss}', 'warning', judged.company_id, judged.product_line_code, | 'unmatched_{}', 'warning', judged.company_id, judged.product_line_code, 1 + 0 *
'aum_without_{customer contract product_line}', 'info', judged.company_id, judged.product_line_code, judged.details, judged.aum | 'aum_without_{}', 'info', judged.company_id, judged.product_line_code, 1, NULL
ORDER BY finding.company_id, | ORDER BY
(total.stored_rows, total.all_stored_aum) | (coalesce(v_change.month_rows, 0), total.all_stored_aum) | (total.stored_rows, coalesce(v_change.month_aum, 0))
operation NOT IN ('close', 'reopen') | TRUE
(v_control.last_log_id, v_control.last_rule, v_is_closed) | (v_last.log_id, v_control.last_rule, v_is_closed) | (v_control.last_log_id, v_base.rule, v_is_closed)
v_is_closed) IS DISTINCT FROM (v_last.log_id, v_base.rule, | v_is_closed) IS DISTINCT FROM (v_last.log_id, v_base.rule, v_is_closed OR
(v_totals.row_count, v_totals.aum, v_totals.sha256) IS DISTINCT FROM (v_{control.closed closing.month}_rows | FALSE AND (v_totals.row_count, v_totals.aum, v_totals.sha256) IS DISTINCT FROM (v_{}_rows
(total.stored_rows > 0 AND NOT v_is_written)::integer | (NOT v_is_written)::integer | (total.stored_rows < 0)::integer
total.attributed_aum - total.stored_aum, | total.stored_aum - total.attributed_aum,
nullif(raw.{contracts awards losses details amount}, | nullif(raw.{} * 0 + 0 * (raw.{} - 1), 0 *
'{never_written stale_row unmatched_award unmatched_loss late_change}', '{warning}' | '{}', '{error}'
'{product_line_name is_strategic is_existing is_new is_winning_this_year is_churned_this_year aum_balance plan_count missing_row unsupported_row}', '{error,drift}' | '{}', '{error,error}'
'{log_totals control_row control_totals summary blank_key duplicate_key contradiction orphaned_company orphaned_product_line source_reading}', '{error}' | '{}', '{warning}'
sum(judged.stored_{rows aum plans}) AS | max(judged.stored_{}) AS
bool_or(judged.stored_{strategic existing new winning churned}) | bool_and(judged.stored_{})
FROM judged WHERE judged.is_stored GROUP BY GROUPING SETS | FROM judged GROUP BY GROUPING SETS
summary.{row_count customers customers_with_aum strategic_customers existing_customers new_this_year_customers winning_this_year_customers churned_this_year_customers plans aum_balance}, | (SELECT one.{} FROM added_up AS one WHERE one.product_line_code IS NOT DISTINCT FROM summary.product_line_code),
sum(customer.{row_count plans aum_balance strategic_aum}) | max(customer.{})
( SELECT * FROM added_up EXCEPT SELECT * FROM summarised ) UNION ALL |
UNION ALL ( SELECT * FROM summarised EXCEPT SELECT * FROM added_up ) |
) AS wrong UNION | ) AS wrong UNION ALL
<> coalesce(v_control.stale_rows, 0) | < coalesce(v_control.stale_rows, 0) | > coalesce(v_control.stale_rows, 0)
== deploy/monthly_status_summary.sql
WHEN 'as_of' THEN p_snapshot_month BETWEEN valid_from AND valid_to | WHEN 'as_of' THEN is_current | WHEN 'as_of' THEN p_snapshot_month >= valid_from | WHEN 'as_of' THEN p_snapshot_month <= valid_to
ELSE is_current END | ELSE TRUE END
WHERE stored.snapshot_month = p_snapshot_month AND supported | WHERE supported
FOR UPDATE; | ;
DELETE FROM customer.monthly_status_summary WHERE snapshot_month = p_snapshot_month; | | DELETE FROM customer.monthly_status_summary;
max(stored.product_line_name COLLATE "C") | min(stored.product_line_name COLLATE "C")
sum(stored.plan_count) | max(stored.plan_count)
coalesce(p_stale, customer.stale_rows_by_product_line(p_snapshot_month)) | p_stale
sum(stored.aum_balance) <> 0 AS has_aum | bool_or(stored.aum_balance <> 0) AS has_aum
bool_or(stored.is_{strategic existing new winning_this_year churned_this_year}) | bool_and(stored.is_{})
sum({customers plans aum_balance strategic_aum stale_rows stale_aum}) AS | max({}) AS
AND summary.product_line_code IS NULL ), 0 ) | AND summary.product_line_code IS NULL ), stale_rows )
WHERE control.snapshot_month = p_snapshot_month; | ;
== deploy/monthly_status_trend.sql deploy/monthly_status_total.sql
extract(day FROM | 30 + 0 * extract(day FROM | 31 + 0 * extract(day FROM
+ 1)::timestamp - INTERVAL '1 year')::date - 1 | )::timestamp - INTERVAL '1 year')::date | + 1)::timestamp - INTERVAL '365 days')::date - 1
aum_balance > 0 #2 | aum_balance <> 0
control.closed_at IS NOT NULL AS | TRUE AS | FALSE AS
== deploy/monthly_status_trend.sql
WHERE still_there.snapshot_month IS NULL |
WHERE product_line_code IS NOT NULL UNION ALL | UNION ALL
== deploy/monthly_status_total.sql
WHERE product_line_code IS NULL |
('refresh', 'restate') | ('refresh') | ('restate')
ON control.last_rule IS NOT NULL | ON TRUE
WHERE entry.snapshot_month = this.snapshot_month AND | WHERE
== deploy/monthly_status_movement.sql
ON previous.snapshot_month = month.snapshot_month - extract(day FROM month.snapshot_month)::integer | ON previous.snapshot_month = month.snapshot_month - 30 | ON previous.snapshot_month = month.snapshot_month - 31
month.snapshot_month - extract(day FROM month.snapshot_month)::integer AND month.snapshot_month - extract(day FROM month.snapshot_month)::integer | month.snapshot_month - 30 AND month.snapshot_month - 30 | month.snapshot_month - 31 AND month.snapshot_month - 31
coalesce(this.{company_id product_line_code product_line_name}, before.{}) AS | this.{} AS | before.{} AS
FULL JOIN | LEFT JOIN | RIGHT JOIN
WHERE snapshot_month BETWEEN month.snapshot_month AND month.snapshot_month | WHERE snapshot_month <= month.snapshot_month | WHERE snapshot_month >= month.snapshot_month
PARTITION BY coalesce(this.company_id, before.company_id) COLLATE "C" | | PARTITION BY coalesce(this.product_line_code, before.product_line_code)
== deploy/monthly_status_movement.sql deploy/monthly_status_bridge.sql deploy/monthly_status_bridge_total.sql
WHERE month.product_line_code IS NULL |
== deploy/monthly_status_bridge.sql deploy/monthly_status_bridge_total.sql
count(movement) > 0 | TRUE
{started ended}_customers::numeric / nullif(previous_customers_with_aum, 0) | {}_customers::numeric / previous_customers_with_aum | {}_customers / nullif(previous_customers_with_aum, 0) | {}_customers::numeric / nullif(customers_with_aum, 0)
-coalesce(ended_aum, 0.00) / | coalesce(ended_aum, 0.00) /
WHEN previous_aum_balance > 0 | WHEN previous_aum_balance <> 0
WHERE movement_of.snapshot_month = month.snapshot_month |
== deploy/monthly_status_bridge.sql
coalesce( max(product_line_name COLLATE "C") FILTER (WHERE plan_count IS NOT NULL), | coalesce( | coalesce( min(product_line_name COLLATE "C") FILTER (WHERE plan_count IS NOT NULL),
== deploy/monthly_status_bridge_total.sql
min(customer_movement) | min(movement)
bool_and(presence = '{added dropped}') | bool_or(presence = '{}')
GROUP BY company_id COLLATE "C" | GROUP BY company_id COLLATE "C", product_line_code
== deploy/dim_customer.sql
starts_with(known.company_id, 'IN') AND | | starts_with(known.company_id, 'IN') OR
AND length(known.company_id) = 18 | | AND length(known.company_id) >= 18 | AND length(known.company_id) <= 18
WHERE stored.company_id = known.company_id | WHERE TRUE
min(snapshot_month) | max(snapshot_month)
max(snapshot_month) | min(snapshot_month)
== deploy/dim_snapshot_month.sql
WHERE product_line_code IS NULL | WHERE TRUE
previous.snapshot_month IS NOT NULL | TRUE
max(total.snapshot_month) | min(total.snapshot_month)
== deploy/unmatched_awards_and_losses.sql
coalesce(event.{company_id product_line_code} !~ '[^[:space:]]', TRUE) | event.{} IS NULL | coalesce(event.{} !~ '[^[:space:]]', FALSE)
ON extract(year FROM event.reported_on) = extract(year FROM month.snapshot_month) | ON TRUE
control.last_rule IS DISTINCT FROM 'as_of' | control.last_rule = 'current' | FALSE
bool_or(stored.product_line_code = event.product_line_code) | bool_or(TRUE)
WHERE stored.snapshot_month = month.snapshot_month AND | WHERE
WHERE month.product_line_code IS NULL AND | WHERE
== deploy/adopt_existing_table.sql
IF v_table IS NULL OR ( SELECT count(*) = 3 | IF v_table IS NULL OR ( SELECT count(*) >= 1
contype = 'x' OR contype = 'p' | contype = 'p' | contype = 'x' OR FALSE
AND indisunique AND NOT indisprimary | AND FALSE
relname IN (SELECT unnest(v_indexes || | FALSE AND relname IN (SELECT unnest(v_indexes ||
AND (tgtype & 3 = 3 OR | AND (FALSE OR
WHERE inhrelid = v_table | WHERE FALSE
AND relrowsecurity | AND FALSE
'{snapshot_month company_id product_line_code product_line_name} is NULL', {} IS NULL | '{} is NULL', FALSE
same_key > 1 | FALSE
IF v_count > 0 THEN | IF FALSE THEN
WHERE num_nulls( is_strategic, | WHERE 1 + num_nulls( is_strategic,
GRANT ALL ON TABLE customer.fct_customer_business_monthly_status TO current_user; |
REVOKE ALL ON TABLE customer.fct_customer_business_monthly_status FROM PUBLIC; |
== revert/keep_stored_months.sql
SET LOCAL row_security = off; |
IF current_setting('customer.discard_snapshots')::boolean THEN | IF FALSE THEN
'customer.{fct_customer_business_monthly_status monthly_snapshot_log monthly_status_history}' #2 | 'customer.other'
to_regprocedure('customer.{monthly_status_as_at published_changes}( | to_regprocedure('customer.other(
monthly_snapshot_control WHERE last_log_id IS NOT NULL OR closed_at IS NOT NULL' | monthly_snapshot_control' | monthly_snapshot_control WHERE closed_at IS NOT NULL'
CONTINUE WHEN to_regclass(split_part(v_table, ' ', 1)) IS NULL; |
IF v_holds_rows THEN | IF FALSE THEN
== revert/fct_customer_business_monthly_status.sql
NOT :'discard_snapshots'::boolean AND | FALSE AND | TRUE AND
LOCK TABLE customer.fct_customer_business_monthly_status IN ACCESS EXCLUSIVE MODE; |
== revert/monthly_snapshot_control.sql
AND to_regclass('customer.monthly_snapshot_log') IS NOT NULL) | ) | AND FALSE)
== revert/monthly_snapshot_log.sql
WHERE operation <> 'adopt' | | WHERE FALSE
== sql/grants.sql
WHERE role <> '' | WHERE role NOT IN ('', :'{operator restater closer reader}')
customer.close_snapshot_month(date, text), | customer.close_snapshot_month(date, text), customer.refresh_monthly_snapshot(date),
customer.monthly_snapshot_log, customer.monthly_status_history TO | customer.monthly_snapshot_log TO
customer.validate_monthly_snapshot(date), customer.monthly_status_as_at(date, bigint), | customer.validate_monthly_snapshot(date),
GRANT SELECT ON TABLE customer.fct | GRANT SELECT, UPDATE ON TABLE customer.fct
quote_ident(:'{etl operator restater closer reader}')::regrole | quote_ident(:'{}')
$$; BEGIN; | $$;
== sql/merge_customers.sql
v_from IN ('', v_into) OR | v_from = '' OR | v_from = v_into OR
NOT EXISTS (SELECT 1 FROM customer.source_customers() WHERE company_id = v_into) | FALSE
LOCK TABLE customer.monthly_snapshot_control IN SHARE ROW EXCLUSIVE MODE; |
PERFORM customer.reopen_snapshot_month(v_month, v_reason); |
v_close_id := customer.close_snapshot_month(v_month, v_reason) ->> 'log_id'; |
AND changed.log_id BETWEEN v_written AND v_control.last_log_id | AND changed.log_id <= v_control.last_log_id
= kept.{is_strategic is_existing is_winning_this_year is_churned_this_year} OR gone.{} | = gone.{} AND kept.{}
AND NOT (kept.is_existing OR gone.is_existing) | AND NOT gone.is_existing |
is_new = (kept.is_winning_this_year OR gone.is_winning_this_year) | is_new = gone.is_winning_this_year | is_new = kept.is_winning_this_year
= kept.{aum_balance plan_count} + gone.{} | = kept.{}
AND (kept.snapshot_month, kept.company_id, kept.product_line_code) = (v_month, v_into, gone.product_line_code); #2 | ;
AND log_id > coalesce(v_control.last_log_id, 0) |
== sql/backfill.sql
\set ON_ERROR_STOP on | \set ON_ERROR_STOP off
IF v_months < 1 | IF FALSE
IF v_months > 600 | IF v_months > 60000
AND closed_at IS NOT NULL ) THEN | AND FALSE ) THEN
"""  # noqa: E501

# "FILE: TEXT": mutants by RULES of what contains this text that change nothing that matters.
# A name is of no system and no dropped column; a right that is gone is gone; Sqitch shows no
# SQLSTATE (TABLE has the one of check_snapshot_sources); a month locked twice is locked; no entry
# is by hand and a refresh; nothing was changed after the end of time; a month added up once more
# has the same sums and stale rows; a known customer has rows; nothing but contracts has a plan; a
# closed month without rows is no change; a summary without its total is wrong already; detail of
# one day may be looked at as that of several; sums leave NULL out; mapping is the last schema; and
# what verify/ alone asks is tried with it by test_sqitch.py, whereas here it is empty.
SAME = r"""
sources: max(table_name)[ FILTER (WHERE source = 'product_lines')
fct_customer_business_monthly_status: max(table_name)[ FILTER (WHERE source = 'product_lines')
sources: [CASE WHEN obj_description(v_table
sources: [CASE WHEN NOT relrowsecurity
sources: [DISTINCT -> ]privilege_type
sources: attnum >
sources: attisdropped
sources: [ AND attnum IS NOT NULL -> ]
sources: [DISTINCT -> ]grantee
sources: [ERRCODE = 'object_not_in_prerequisite_state' ->
judge_monthly_snapshot: v_share >[ -> =] 1 THEN
published_changes: history.log_id >[ -> =] v_published
write_monthly_snapshot: [ AND v_baseline_rows IS NULL -> ]
validate_monthly_snapshot: AND log_id >[ -> =] coalesce(v_base.log_id, 0)
sources: [ AND valid_to < '9999-12-31' -> ]
sources: valid_to <[ -> =] '9999-12-31'
guard_closed_months: [ AND summary.product_line_code IS NULL -> ]
guard_closed_months: stale_rows = [CASE WHEN
guard_closed_months: [coalesce(-sum(stored.aum_balance), 0) ->
dim_customer: [LEFT JOIN -> JOIN]
validate_monthly_snapshot: count(DISTINCT fact.plan_code)[ FILTER
validate_monthly_snapshot: OR [coalesce(sum(summary.stale_rows)
write_monthly_snapshot: count(*)[ FILTER (WHERE as_of <>
write_monthly_snapshot: [coalesce(nullif(aum_balance, 'NaN'), 0) ->
write_monthly_snapshot: aum_balance <[ -> =] 0
write_monthly_snapshot: detail_aum <[ -> =] 0
write_monthly_snapshot: rows_of_other_days) >[ -> =] 0
"""

# Those that test the code as text, and the tools rather than the package.
LEFT_OUT = ("test_schema.py", "test_citus.py", "test_bench.py")
# The likely killers, and the quick ones, come first.
LIKELY = ("grants", "refresh", "restate", "close", "etl", "concurrency", "intruders", "adopt")


@dataclass(frozen=True)
class Mutant:
    file: str
    name: str
    content: str


def changes(path: Path, expression: str, replacement: str) -> list[Mutant]:
    """A mutant for each place of the file, but in comments, that the expression finds."""
    file = path.relative_to(PROJECT).as_posix()
    content = path.read_text(encoding="utf-8")
    comments = r"--.*|^COMMENT ON (?:.|\n)*?';$"
    code = re.sub(comments, lambda c: re.sub(r"\S", " ", c[0]), content, flags=re.MULTILINE)
    found = []
    for match in re.finditer(expression, code, re.MULTILINE):
        (start, end), before, after = match.span(), match[0], match.expand(replacement)
        # Half a condition, of which the rest is on the next lines, is left alone.
        if before.count("(") - before.count(")") == after.count("(") - after.count(")"):
            first, last = code.rfind("\n", 0, start) + 1, code.find("\n", end)
            name = f"{code[first:start]}[{before} -> {after}]{code[end:last]}"
            name = f"{file}:{code.count(chr(10), 0, start) + 1}: {' '.join(name.split())}"
            found.append(Mutant(file, name, content[:start] + after + content[end:]))
    return found


def by_table() -> Iterator[Mutant]:
    for line in TABLE.strip().splitlines():
        if line.startswith("== "):
            paths = [PROJECT / name for name in line[3:].split()]
            continue
        # "||" separates nothing, and neither does a regular expression's "|".
        text, *replacements = map(str.strip, re.split(r"(?<=\s)\|(?=\s|$)", line))
        for after in replacements:
            words = re.search(r"\{(\w[^}]* [^}]*)\}", f"{text} {after}") or [None, "{}"]
            for word in words[1].split():
                wanted, new = (
                    part.replace(words[0] or "{}", word).replace("{}", word)
                    for part in (text, after)
                )
                wanted, number = re.match(r"(.*?)(?: #(\d))?$", wanted).groups("1")
                expression = r"\s+".join(map(re.escape, wanted.split()))
                for path in paths:
                    found = changes(path, expression, new.replace("\\", r"\\"))
                    if len(found) != int(number):
                        raise ValueError(f"{path.name}: found {len(found)} times: {wanted}")
                    yield from found


def mutants() -> list[Mutant]:
    """All mutants, each once; a ValueError if one of TABLE or SAME does not fit the code."""
    files = [path for path in sorted((PROJECT / "deploy").glob("*.sql")) if "@" not in path.name]
    by_rules = (m for path in files for rule in RULES for m in changes(path, *rule))
    made = (*(m for m in by_rules if not m.file.startswith(PYTEST_ONLY)), *by_table())
    found = list({mutant.content: mutant for mutant in made}.values())
    for line in SAME.strip().splitlines():
        file, _, text = line.partition(": ")
        left = [m for m in found if not (m.file.endswith(f"/{file}.sql") and text in m.name)]
        if len(left) == len(found):
            raise ValueError(f"there is no mutant like this: {line}")
        found = left
    return found


# --- The tests ---------------------------------------------------------------


def run(*command: str | Path, **options) -> tuple[int, str]:
    """The status and the output of a command; the status is 124 if it took too long."""
    words = ["timeout", "1800", *(str(word) for word in command)]
    options |= {"stdin": subprocess.DEVNULL, "encoding": "utf-8", "check": False}
    result = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    return result.returncode, result.stdout


def psql(database: str, *arguments: str | Path) -> tuple[int, str]:
    return run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, *arguments)


class Tests:
    """The tests of a copy of the project, of which a file is changed; PG* name the server."""

    def __init__(self, folder: str, pattern: str) -> None:
        self.project = Path(folder) / "project"
        self.pattern = pattern
        hidden = shutil.ignore_patterns(".git", ".venv", ".servers", ".pytest_cache", "__pycache__")
        shutil.copytree(PROJECT, self.project, ignore=hidden)
        for script in self.project.glob("verify/*.sql"):
            script.write_text("")
        plan = (self.project / "sqitch.plan").read_text(encoding="utf-8")
        self.deployed = re.findall(r"^(\w+) ", plan, re.MULTILINE)
        source = self.project / "sql/demo/source_system.sql"
        psql("postgres", "-c", "CREATE DATABASE source")
        psql("source", "-c", "CREATE EXTENSION pgtap", "-f", source)
        # How many mutants of a file a test file has killed.
        self.kills: Counter[tuple[str, str]] = Counter()
        # What fails without a mutant proves nothing.
        self.known: set[str] = set()

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        path = self.project / mutant.file
        original = path.read_text(encoding="utf-8")
        path.write_text(mutant.content, encoding="utf-8")
        yield
        path.write_text(original, encoding="utf-8")

    def files(self, file: str, pattern: str) -> list[Path]:
        """Test files, first those that have killed most mutants of the file."""

        def rank(test: Path) -> tuple:
            topic = re.sub(r"^(test|\d+)_", "", test.stem)
            return -self.kills[file, test.name], topic not in file, topic not in LIKELY, test.name

        tests = (test for test in self.project.glob(pattern) if test.name not in LEFT_OUT)
        return sorted(tests, key=rank)

    def pgtap(self, file: str) -> list[str]:
        """What fails with a mutant of the file, in the first test file that does."""
        psql("postgres", "-c", "DROP DATABASE IF EXISTS mutant")
        psql("postgres", "-c", "CREATE DATABASE mutant TEMPLATE source")
        scripts = (("-f", self.project / f"deploy/{name}.sql") for name in self.deployed)
        status, output = psql("mutant", *(word for script in scripts for word in script))
        if status != 0:
            return [f"deploying::{re.sub('(?s).*(?=ERROR:)', '', output)}"]
        for test in self.files(file, "tests/pgtap/*.sql"):
            status, output = psql("mutant", "-f", test)
            failed = re.findall(r"^not ok \d+ - (.*)", output, re.MULTILINE)
            # An error, or another number of tests than planned.
            if not failed and (status != 0 or "# Looks like" in output):
                failed = ["breaks off"]
            if failed:
                return [f"{test.name}::{name}" for name in failed]
        return []

    def pytest(self, file: str, *options: str) -> list[str]:
        """What fails in tests/integration with a mutant of the file."""
        known = (f"--deselect={test}" for test in self.known)
        status, output = run(
            *(sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=no", "-m", "not distribution"),
            *("-p", "no:cacheprovider", "-o", "timeout=120", f"--basetemp={self.project}.tmp"),
            *(*options, *known, *self.files(file, f"tests/integration/{self.pattern}")),
            cwd=self.project,
            env=os.environ | {"COLUMNS": "1000"},
        )
        failed = re.findall(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", output, re.MULTILINE)
        return failed or ([f"pytest: status {status}"] if status != 0 else [])


def outcomes(chosen: list[Mutant], tests: Tests, pgtap_only: bool) -> Iterator[tuple]:
    """Each mutant, how far it came, and what noticed it."""
    if failures := tests.pgtap(""):
        sys.exit("\n".join(["pgTAP fails without a mutant, too:", *failures]))
    left = []
    for mutant in chosen:
        killers = []
        if not mutant.file.startswith(PYTEST_ONLY):
            with tests.mutated(mutant):
                killers = tests.pgtap(mutant.file)
        if killers:
            yield mutant, "deploy" if killers[0].startswith("deploying") else "pgTAP", killers
        else:
            left.append(mutant)

    if not pgtap_only:
        tests.known.update(tests.pytest("") if left else [])
    for mutant in left:
        killers = []
        if not pgtap_only:
            with tests.mutated(mutant):
                killers = tests.pytest(mutant.file, "-x")
        yield mutant, "pytest" if killers else "survived", killers


# --- All of it ---------------------------------------------------------------

SERVER = """
. scripts/lib.sh
. scripts/servers.sh
find_postgres_major
export SNAPSHOT_TEST_SERVER=1
in_private_server -o max_prepared_transactions=5 \
    -o shared_preload_libraries=plpgsql,plpgsql_check "$@"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="the mutants that match this expression")
    parser.add_argument("--tests", default="test_*.py", help="those of tests/integration to run")
    parser.add_argument("--pgtap-only", action="store_true", help="run none of them")
    arguments = parser.parse_args()
    if os.environ.get("SNAPSHOT_TEST_SERVER") != "1":
        os.chdir(PROJECT)
        os.execvp("bash", ["bash", "-c", SERVER, "", sys.executable, __file__, *sys.argv[1:]])

    chosen = [mutant for mutant in mutants() if re.search(arguments.only, mutant.name)]
    counts: Counter[tuple[str, str]] = Counter()
    with TemporaryDirectory() as folder:
        tests = Tests(folder, arguments.tests)
        for mutant, stage, killers in outcomes(chosen, tests, arguments.pgtap_only):
            if killers:
                tests.kills[mutant.file, Path(killers[0].partition("::")[0]).name] += 1
            counts[mutant.file, stage] += 1
            print(f"{stage:9}{mutant.name}", *killers[:1], sep="\n           ", flush=True)
        print(*("fails without a mutant, too: " + test for test in sorted(tests.known)), sep="\n")

    # What cannot be deployed may be noticed by the package, or be no SQL.
    stages = ("deploy", "pgTAP", "pytest", "survived")
    print(f"{'':52}" + "".join(f"{stage:>9}" for stage in stages))
    for file in sorted({file for file, _ in counts}):
        print(f"{file:52}" + "".join(f"{counts[file, stage]:9}" for stage in stages))
    sys.exit(any(stage == "survived" for _, stage in counts))


if __name__ == "__main__":
    main()
