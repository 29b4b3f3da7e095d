-- Verify customer_monthly_snapshot:monthly_snapshot_control on pg

BEGIN;

CALL customer.verify_table('customer.monthly_snapshot_control', ARRAY[
    'column snapshot_month date NOT NULL, with comment',
    'column last_rule text, with comment',
    'column last_log_id bigint, with comment',
    'column stale_rows bigint NOT NULL DEFAULT 0, with comment',
    'column last_changed_at timestamp with time zone, with comment',
    'column baseline_rows bigint, with comment',
    'column baseline_aum numeric, with comment',
    'column writer text, with comment',
    'column closed_at timestamp with time zone, with comment',
    'column closed_by text, with comment',
    'column close_note text, with comment',
    'column closed_rows bigint, with comment',
    'column closed_aum numeric, with comment',
    'column closed_sha256 text, with comment',
    'constraint chk_control_month_end CHECK ((isfinite(snapshot_month) AND (EXTRACT(day FROM (snapshot_month +'
    ' 1)) = (1)::numeric))), with comment',
    'constraint chk_control_rule CHECK ((last_rule = ANY (ARRAY[''current''::text, ''as_of''::text]))), with comment',
    'constraint chk_control_baseline CHECK ((num_nulls(last_rule, baseline_rows, baseline_aum) = ANY (ARRAY[0,'
    ' 3]))), with comment',
    'constraint chk_control_closed CHECK ((num_nulls(closed_at, closed_by, close_note, closed_rows, closed_aum,'
    ' closed_sha256) = ANY (ARRAY[0, 6]))), with comment',
    'constraint monthly_snapshot_control_pkey PRIMARY KEY (snapshot_month), with comment',
    'CREATE UNIQUE INDEX monthly_snapshot_control_pkey ON customer.monthly_snapshot_control USING btree'
    ' (snapshot_month), with comment',
    'comment on table',
    'write-ahead logging',
    'no row security',
    'the owner of customer.missing_snapshot_sources()',
    'all privileges for its owner'
]);

ROLLBACK;
