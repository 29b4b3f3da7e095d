-- Verify customer_monthly_snapshot:monthly_snapshot_log on pg

BEGIN;

CALL customer.verify_function(
    'customer.next_log_id(bigint)',
    '71fee100a490be5cb1f936d3425e12f2a6968de4a45593daab64d34b78a0c813',
    'monthly_snapshot_log',
    p_is_internal => TRUE
);

CALL customer.verify_table('customer.monthly_snapshot_log', ARRAY[
    'column log_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY, with comment',
    'column snapshot_month date NOT NULL, with comment',
    'column operation text NOT NULL, with comment',
    'column rule text, with comment',
    'column reason text, with comment',
    'column started_at timestamp with time zone NOT NULL, with comment',
    'column finished_at timestamp with time zone NOT NULL, with comment',
    'column total bigint, with comment',
    'column upserted bigint, with comment',
    'column inserted bigint, with comment',
    'column updated bigint, with comment',
    'column unchanged bigint, with comment',
    'column stale bigint, with comment',
    'column deleted bigint, with comment',
    'column aum_total numeric, with comment',
    'column aum_unattributed numeric, with comment',
    'column accepted boolean, with comment',
    'column month_rows bigint NOT NULL, with comment',
    'column month_aum numeric NOT NULL, with comment',
    'column month_sha256 text, with comment',
    'column invoked_by text NOT NULL, with comment',
    'column application_name text NOT NULL, with comment',
    'constraint chk_log_operation CHECK ((operation = ANY (ARRAY[''refresh''::text, ''restate''::text,'
    ' ''by_hand''::text, ''close''::text, ''reopen''::text, ''discard''::text, ''adopt''::text]))), with comment',
    'constraint chk_log_rule CHECK ((rule = ANY (ARRAY[''current''::text, ''as_of''::text]))), with comment',
    'constraint chk_log_counts CHECK (((num_nulls(rule, total, upserted, unchanged, stale, aum_total, aum_unattributed) =
CASE
    WHEN (operation = ANY (ARRAY[''refresh''::text, ''restate''::text])) THEN 0
    ELSE 7
END) AND
CASE
    WHEN (operation = ANY (ARRAY[''refresh''::text, ''restate''::text])) THEN (accepted IS NOT NULL)
    ELSE ((accepted IS NULL) OR (operation = ''close''::text))
END AND ((inserted IS NOT NULL) = (operation = ANY (ARRAY[''refresh''::text, ''restate''::text, ''by_hand''::text, ''adopt''::text]))) AND ((updated IS NOT NULL) = (operation = ANY (ARRAY[''refresh''::text, ''restate''::text, ''by_hand''::text]))) AND ((deleted IS NOT NULL) = (operation = ANY (ARRAY[''refresh''::text, ''restate''::text, ''by_hand''::text, ''discard''::text]))) AND ((month_sha256 IS NOT NULL) = (operation = ''close''::text)))), with comment',
    'constraint chk_log_reason CHECK (((operation = ANY (ARRAY[''refresh''::text, ''by_hand''::text])) OR'
    ' (reason IS NOT NULL))), with comment',
    'constraint monthly_snapshot_log_pkey PRIMARY KEY (log_id), with comment',
    'CREATE UNIQUE INDEX monthly_snapshot_log_pkey ON customer.monthly_snapshot_log USING btree (log_id), with'
    ' comment',
    'CREATE INDEX idx_snapshot_log_month ON customer.monthly_snapshot_log USING btree (snapshot_month, log_id),'
    ' with comment',
    'sequence customer.monthly_snapshot_log_log_id_seq, with comment',
    'comment on table',
    'write-ahead logging',
    'no row security',
    'the owner of customer.missing_snapshot_sources()',
    'all privileges for its owner'
]);

ROLLBACK;
