CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0017');
CREATE TABLE alert_deliveries (
	id INTEGER NOT NULL, 
	alert_id INTEGER NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	url TEXT NOT NULL, 
	format VARCHAR(16) NOT NULL, 
	created_ms BIGINT NOT NULL, 
	attempt_count INTEGER NOT NULL, 
	next_ms BIGINT, 
	sent_ms BIGINT, 
	problem TEXT, 
	CONSTRAINT pk_alert_deliveries PRIMARY KEY (id), 
	CONSTRAINT fk_alert_deliveries_alert_id FOREIGN KEY(alert_id) REFERENCES alerts (id)
);
CREATE TABLE alerts (
	id INTEGER NOT NULL, 
	fingerprint VARCHAR(64) NOT NULL, 
	open_key VARCHAR(64), 
	endpoint VARCHAR(256) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	labels JSON NOT NULL, 
	summary TEXT NOT NULL, 
	starts_ms BIGINT NOT NULL, 
	clean_ms BIGINT, 
	ends_ms BIGINT, 
	event_id INTEGER, 
	CONSTRAINT pk_alerts PRIMARY KEY (id), 
	CONSTRAINT uq_alerts_open_key UNIQUE (open_key)
);
CREATE TABLE datasets (
	id VARCHAR(32) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	digest VARCHAR(36) NOT NULL, 
	source_type VARCHAR(36) NOT NULL, 
	source TEXT NOT NULL, 
	schema TEXT, 
	profile TEXT, 
	CONSTRAINT pk_datasets PRIMARY KEY (id), 
	CONSTRAINT fk_datasets_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (id), 
	CONSTRAINT uq_datasets_experiment_id_name_digest UNIQUE (experiment_id, name, digest)
);
CREATE TABLE endpoints (
	id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	model VARCHAR(256) NOT NULL, 
	current_revision INTEGER NOT NULL, 
	CONSTRAINT pk_endpoints PRIMARY KEY (id), 
	CONSTRAINT uq_endpoints_name UNIQUE (name)
);
CREATE TABLE events (
	id INTEGER NOT NULL, 
	time_ms BIGINT NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	subject VARCHAR(512) NOT NULL, 
	actor VARCHAR(256) NOT NULL, 
	summary TEXT NOT NULL, 
	cause JSON NOT NULL, 
	"before" JSON NOT NULL, 
	"after" JSON NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (id)
);
CREATE TABLE experiment_tags (
	experiment_id INTEGER NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_experiment_tags PRIMARY KEY (experiment_id, "key"), 
	CONSTRAINT fk_experiment_tags_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (id)
)
 WITHOUT ROWID

;
CREATE TABLE experiments (
	id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	created_ms BIGINT NOT NULL, updated_ms BIGINT DEFAULT '0' NOT NULL, deleted_ms BIGINT, artifact_uri TEXT, 
	CONSTRAINT pk_experiments PRIMARY KEY (id), 
	CONSTRAINT uq_experiments_name UNIQUE (name)
);
INSERT INTO "experiments" VALUES(0,'Default',0,0,NULL,NULL);
CREATE TABLE findings (
	id INTEGER NOT NULL, 
	time_ms BIGINT NOT NULL, 
	endpoint VARCHAR(256) NOT NULL, 
	revision INTEGER NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	breached BOOLEAN NOT NULL, 
	body JSON NOT NULL, 
	CONSTRAINT pk_findings PRIMARY KEY (id)
);
CREATE TABLE grants (
	user VARCHAR(255) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	resource VARCHAR(500) NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	CONSTRAINT pk_grants PRIMARY KEY (user, kind, resource), 
	CONSTRAINT fk_grants_user FOREIGN KEY(user) REFERENCES users (name)
);
CREATE TABLE labels (
	prediction_id VARCHAR(40) NOT NULL, 
	received_ms BIGINT NOT NULL, 
	label_values BLOB NOT NULL, sent_by VARCHAR(128), 
	CONSTRAINT pk_labels PRIMARY KEY (prediction_id, received_ms)
);
CREATE TABLE leases (
	name VARCHAR(128) NOT NULL, 
	holder VARCHAR(256) NOT NULL, 
	expires_ms BIGINT NOT NULL, 
	CONSTRAINT pk_leases PRIMARY KEY (name)
);
CREATE TABLE logged_model_metrics (
	model_id VARCHAR(64) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	time_ms BIGINT NOT NULL, 
	step BIGINT NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	dataset_name VARCHAR(500) DEFAULT '' NOT NULL, 
	dataset_digest VARCHAR(36) DEFAULT '' NOT NULL, 
	value FLOAT NOT NULL, 
	is_nan BOOLEAN NOT NULL, 
	CONSTRAINT pk_logged_model_metrics PRIMARY KEY (model_id, "key", time_ms, step, run_id, dataset_name, dataset_digest, value, is_nan), 
	CONSTRAINT fk_logged_model_metrics_model_id FOREIGN KEY(model_id) REFERENCES logged_models (id)
);
CREATE TABLE logged_model_params (
	model_id VARCHAR(64) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_logged_model_params PRIMARY KEY (model_id, "key"), 
	CONSTRAINT fk_logged_model_params_model_id FOREIGN KEY(model_id) REFERENCES logged_models (id)
)
 WITHOUT ROWID

;
CREATE TABLE logged_model_tags (
	model_id VARCHAR(64) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_logged_model_tags PRIMARY KEY (model_id, "key"), 
	CONSTRAINT fk_logged_model_tags_model_id FOREIGN KEY(model_id) REFERENCES logged_models (id)
)
 WITHOUT ROWID

;
CREATE TABLE logged_models (
	id VARCHAR(64) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	model_type VARCHAR(500), 
	status VARCHAR(32) NOT NULL, 
	status_message TEXT, 
	source_run_id VARCHAR(32), 
	artifact_uri TEXT, 
	created_ms BIGINT NOT NULL, 
	updated_ms BIGINT NOT NULL, 
	deleted_ms BIGINT, 
	CONSTRAINT pk_logged_models PRIMARY KEY (id), 
	CONSTRAINT fk_logged_models_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (id)
);
CREATE TABLE lost_labels (
	endpoint VARCHAR(256) NOT NULL, 
	day_s BIGINT NOT NULL, 
	reason VARCHAR(16) NOT NULL, 
	lost_count BIGINT NOT NULL, 
	CONSTRAINT pk_lost_labels PRIMARY KEY (endpoint, day_s, reason)
);
CREATE TABLE model_alias_moves (
	id INTEGER NOT NULL, 
	model VARCHAR(256) NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	version INTEGER, 
	previous INTEGER, 
	time_ms BIGINT NOT NULL, 
	actor VARCHAR(256) NOT NULL, 
	verdict_id VARCHAR(32), cause JSON, 
	CONSTRAINT pk_model_alias_moves PRIMARY KEY (id), 
	CONSTRAINT fk_model_alias_moves_model FOREIGN KEY(model) REFERENCES registered_models (name)
);
CREATE TABLE model_aliases (
	model VARCHAR(256) NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	CONSTRAINT pk_model_aliases PRIMARY KEY (model, name), 
	CONSTRAINT fk_model_aliases_model FOREIGN KEY(model) REFERENCES registered_models (name)
);
CREATE TABLE model_version_inputs (
	model VARCHAR(256) NOT NULL, 
	number INTEGER NOT NULL, 
	path VARCHAR(1024) NOT NULL, 
	digest VARCHAR(80) NOT NULL, 
	CONSTRAINT pk_model_version_inputs PRIMARY KEY (model, number, path), 
	CONSTRAINT fk_model_version_inputs_model FOREIGN KEY(model, number) REFERENCES model_versions (model, number)
);
CREATE TABLE model_version_tags (
	model VARCHAR(256) NOT NULL, 
	number INTEGER NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_model_version_tags PRIMARY KEY (model, number, "key"), 
	CONSTRAINT fk_model_version_tags_model FOREIGN KEY(model, number) REFERENCES model_versions (model, number)
);
CREATE TABLE model_versions (
	model VARCHAR(256) NOT NULL, 
	number INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	created_ms BIGINT NOT NULL, 
	actor VARCHAR(256) NOT NULL, 
	path VARCHAR(1024) NOT NULL, 
	manifest JSON NOT NULL, 
	provenance JSON NOT NULL, 
	metrics JSON NOT NULL, 
	run_id VARCHAR(32), 
	"commit" VARCHAR(64), 
	profile_digest VARCHAR(64), updated_ms BIGINT DEFAULT '0' NOT NULL, deleted_ms BIGINT, description TEXT, stage VARCHAR(32) DEFAULT 'None' NOT NULL, source TEXT, run_link TEXT, logged_model_id VARCHAR(64), 
	CONSTRAINT pk_model_versions PRIMARY KEY (model, number), 
	CONSTRAINT fk_model_versions_model FOREIGN KEY(model) REFERENCES registered_models (name)
);
CREATE TABLE observation_batches (
	id VARCHAR(128) NOT NULL, 
	received_ms BIGINT NOT NULL, 
	CONSTRAINT pk_observation_batches PRIMARY KEY (id)
);
CREATE TABLE observation_halves (
	endpoint VARCHAR(256) NOT NULL, 
	call_id VARCHAR(256) NOT NULL, 
	side VARCHAR(16) NOT NULL, 
	time_ms BIGINT NOT NULL, 
	received_ms BIGINT NOT NULL, 
	body BLOB NOT NULL, 
	CONSTRAINT pk_observation_halves PRIMARY KEY (endpoint, call_id, side)
);
CREATE TABLE policies (
	endpoint VARCHAR(256) NOT NULL, 
	number INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	created_ms BIGINT NOT NULL, 
	actor VARCHAR(256) NOT NULL, 
	body JSON NOT NULL, 
	CONSTRAINT pk_policies PRIMARY KEY (endpoint, number)
);
CREATE TABLE predictions (
	id VARCHAR(40) NOT NULL, 
	version INTEGER NOT NULL, 
	endpoint VARCHAR(256) NOT NULL, 
	revision INTEGER NOT NULL, 
	route VARCHAR(16) NOT NULL, 
	window_start_s BIGINT NOT NULL, 
	outputs BLOB NOT NULL, 
	row_count INTEGER NOT NULL, 
	features BLOB, is_run BOOLEAN DEFAULT 0 NOT NULL, slices BLOB, 
	CONSTRAINT pk_predictions PRIMARY KEY (id, version)
);
CREATE TABLE refusals (
	endpoint VARCHAR(256) NOT NULL, 
	start_s BIGINT NOT NULL, 
	code VARCHAR(64) NOT NULL, 
	refused_count BIGINT NOT NULL, 
	CONSTRAINT pk_refusals PRIMARY KEY (endpoint, start_s, code)
);
CREATE TABLE registered_model_tags (
	model VARCHAR(256) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_registered_model_tags PRIMARY KEY (model, "key"), 
	CONSTRAINT fk_registered_model_tags_model FOREIGN KEY(model) REFERENCES registered_models (name)
);
CREATE TABLE registered_models (
	name VARCHAR(256) NOT NULL, 
	created_ms BIGINT NOT NULL, updated_ms BIGINT DEFAULT '0' NOT NULL, deleted_ms BIGINT, description TEXT, newest_number INTEGER DEFAULT '0' NOT NULL, moved_to VARCHAR(256), 
	CONSTRAINT pk_registered_models PRIMARY KEY (name)
);
CREATE TABLE revisions (
	endpoint_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	model VARCHAR(256) NOT NULL, 
	stable INTEGER NOT NULL, 
	canary_version INTEGER, 
	canary_percent FLOAT, 
	shadows JSON NOT NULL, 
	steps JSON NOT NULL, 
	created_ms BIGINT NOT NULL, 
	actor VARCHAR(256) NOT NULL, 
	reason TEXT NOT NULL, 
	previous INTEGER, 
	cause JSON NOT NULL, kind VARCHAR(16) DEFAULT 'deployed' NOT NULL, 
	CONSTRAINT pk_revisions PRIMARY KEY (endpoint_id, number), 
	CONSTRAINT fk_revisions_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (id)
);
CREATE TABLE run_datasets (
	run_id VARCHAR(32) NOT NULL, 
	dataset_id VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	context VARCHAR(500), 
	tags JSON NOT NULL, 
	CONSTRAINT pk_run_datasets PRIMARY KEY (run_id, dataset_id), 
	CONSTRAINT fk_run_datasets_dataset_id FOREIGN KEY(dataset_id) REFERENCES datasets (id), 
	CONSTRAINT fk_run_datasets_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE run_inputs (
	run_id VARCHAR(32) NOT NULL, 
	path VARCHAR(1024) NOT NULL, 
	digest VARCHAR(80) NOT NULL, 
	CONSTRAINT pk_run_inputs PRIMARY KEY (run_id, path), 
	CONSTRAINT fk_run_inputs_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE run_latest_metrics (
	run_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	is_nan BOOLEAN NOT NULL, 
	step BIGINT NOT NULL, 
	time_ms BIGINT NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	CONSTRAINT pk_run_latest_metrics PRIMARY KEY (run_id, "key"), 
	CONSTRAINT fk_run_latest_metrics_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
)
 WITHOUT ROWID

;
CREATE TABLE run_metrics (
	run_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	step BIGINT NOT NULL, 
	time_ms BIGINT NOT NULL, 
	value FLOAT NOT NULL, 
	is_nan BOOLEAN NOT NULL, 
	CONSTRAINT pk_run_metrics PRIMARY KEY (run_id, "key", step, time_ms, value, is_nan)
)
 WITHOUT ROWID

;
CREATE TABLE run_models (
	run_id VARCHAR(32) NOT NULL, 
	direction VARCHAR(6) NOT NULL, 
	model_id VARCHAR(64) NOT NULL, 
	step BIGINT, 
	position INTEGER NOT NULL, 
	CONSTRAINT pk_run_models PRIMARY KEY (run_id, direction, model_id), 
	CONSTRAINT fk_run_models_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE run_params (
	run_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_run_params PRIMARY KEY (run_id, "key"), 
	CONSTRAINT fk_run_params_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
)
 WITHOUT ROWID

;
CREATE TABLE run_stages (
	run_id VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	action VARCHAR(32) NOT NULL, 
	seconds FLOAT NOT NULL, 
	CONSTRAINT pk_run_stages PRIMARY KEY (run_id, position), 
	CONSTRAINT fk_run_stages_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE run_tags (
	run_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_run_tags PRIMARY KEY (run_id, "key"), 
	CONSTRAINT fk_run_tags_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
)
 WITHOUT ROWID

;
CREATE TABLE runs (
	id VARCHAR(32) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	start_ms BIGINT NOT NULL, 
	end_ms BIGINT, 
	"commit" VARCHAR(64), 
	dirty_digest VARCHAR(64), 
	lock_digest VARCHAR(64), user VARCHAR(256) DEFAULT '' NOT NULL, deleted_ms BIGINT, artifact_uri TEXT, 
	CONSTRAINT pk_runs PRIMARY KEY (id), 
	CONSTRAINT fk_runs_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (id)
);
CREATE TABLE served_classes (
	endpoint VARCHAR(256) NOT NULL, 
	revision INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	classes BLOB NOT NULL, 
	CONSTRAINT pk_served_classes PRIMARY KEY (endpoint, revision, version)
);
CREATE TABLE serving_workers (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	host VARCHAR(256) NOT NULL, 
	pid INTEGER NOT NULL, 
	url VARCHAR(512) NOT NULL, 
	started_ms BIGINT NOT NULL, 
	seen_ms BIGINT NOT NULL
);
CREATE TABLE tokens (
	id VARCHAR(32) NOT NULL, 
	user VARCHAR(255) NOT NULL, 
	secret_hash VARCHAR(64) NOT NULL, 
	created_ms BIGINT NOT NULL, 
	revoked_ms BIGINT, scopes TEXT, endpoints TEXT, expires_ms BIGINT, used_ms BIGINT, 
	CONSTRAINT pk_tokens PRIMARY KEY (id), 
	CONSTRAINT fk_tokens_user FOREIGN KEY(user) REFERENCES users (name)
);
CREATE TABLE users (
	name VARCHAR(255) NOT NULL, 
	password_hash TEXT, 
	role VARCHAR(16) NOT NULL, 
	created_ms BIGINT NOT NULL, 
	CONSTRAINT pk_users PRIMARY KEY (name)
);
CREATE TABLE verdicts (
	id VARCHAR(32) NOT NULL, 
	model VARCHAR(256) NOT NULL, 
	model_digest VARCHAR(64) NOT NULL, 
	settings_digest VARCHAR(64) NOT NULL, 
	data JSON NOT NULL, 
	passed BOOLEAN NOT NULL, 
	checks JSON NOT NULL, 
	created_ms BIGINT NOT NULL, 
	actor VARCHAR(256) NOT NULL, envelope TEXT, 
	CONSTRAINT pk_verdicts PRIMARY KEY (id)
);
CREATE TABLE version_states (
	id INTEGER NOT NULL, 
	model VARCHAR(256) NOT NULL, 
	number INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	time_ms BIGINT NOT NULL, 
	actor VARCHAR(256) NOT NULL, 
	reason TEXT NOT NULL, 
	cause JSON NOT NULL, 
	CONSTRAINT pk_version_states PRIMARY KEY (id)
);
CREATE TABLE waiting_labels (
	prediction_id VARCHAR(40) NOT NULL, 
	endpoint VARCHAR(256) NOT NULL, 
	received_ms BIGINT NOT NULL, 
	label_values BLOB NOT NULL, 
	sent_by VARCHAR(128), 
	CONSTRAINT pk_waiting_labels PRIMARY KEY (prediction_id, endpoint, received_ms)
);
CREATE TABLE webhook_deliveries (
	id INTEGER NOT NULL, 
	webhook_id VARCHAR(36) NOT NULL, 
	entity VARCHAR(64) NOT NULL, 
	action VARCHAR(64) NOT NULL, 
	payload JSON NOT NULL, 
	created_ms BIGINT NOT NULL, 
	attempt_count INTEGER NOT NULL, 
	next_ms BIGINT, 
	problem TEXT, 
	CONSTRAINT pk_webhook_deliveries PRIMARY KEY (id), 
	CONSTRAINT fk_webhook_deliveries_webhook_id FOREIGN KEY(webhook_id) REFERENCES webhooks (id)
);
CREATE TABLE webhooks (
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	description TEXT, 
	url TEXT NOT NULL, 
	secret TEXT, 
	events JSON NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	created_ms BIGINT NOT NULL, 
	updated_ms BIGINT NOT NULL, 
	CONSTRAINT pk_webhooks PRIMARY KEY (id), 
	CONSTRAINT uq_webhooks_name UNIQUE (name)
);
CREATE TABLE windows (
	endpoint VARCHAR(256) NOT NULL, 
	start_s BIGINT NOT NULL, 
	revision INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	route VARCHAR(16) NOT NULL, 
	worker INTEGER NOT NULL, 
	sequence BIGINT NOT NULL, 
	window_s INTEGER NOT NULL, 
	request_count INTEGER NOT NULL, 
	error_count INTEGER NOT NULL, 
	row_count INTEGER NOT NULL, 
	latency BLOB, 
	features BLOB, 
	outputs BLOB, 
	quality BLOB, label_count INTEGER DEFAULT '0' NOT NULL, error_run_count INTEGER, nonfinite_count INTEGER DEFAULT '0' NOT NULL, nonfinite_run_count INTEGER DEFAULT '0' NOT NULL, nonfinite_row_count INTEGER DEFAULT '0' NOT NULL, dropped_count INTEGER DEFAULT '0' NOT NULL, scored_row_count INTEGER DEFAULT '0' NOT NULL, outlier_row_count INTEGER DEFAULT '0' NOT NULL, outlier_run_count INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_windows PRIMARY KEY (endpoint, start_s, revision, version, route, worker, sequence)
);
CREATE TABLE worker_revisions (
	worker_id INTEGER NOT NULL, 
	endpoint VARCHAR(256) NOT NULL, 
	revision INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	message TEXT NOT NULL, 
	time_ms BIGINT NOT NULL, 
	CONSTRAINT pk_worker_revisions PRIMARY KEY (worker_id, endpoint, revision), 
	CONSTRAINT fk_worker_revisions_worker_id FOREIGN KEY(worker_id) REFERENCES serving_workers (id)
);
CREATE INDEX ix_events_subject ON events (subject);
CREATE INDEX ix_findings_endpoint_id ON findings (endpoint, id);
CREATE INDEX ix_predictions_endpoint_id ON predictions (endpoint, id);
CREATE INDEX ix_verdicts_model_digest ON verdicts (model_digest);
CREATE INDEX ix_model_alias_moves_model_name ON model_alias_moves (model, name);
CREATE INDEX ix_model_versions_commit ON model_versions ("commit");
CREATE INDEX ix_model_versions_digest ON model_versions (digest);
CREATE INDEX ix_model_versions_run_id ON model_versions (run_id);
CREATE INDEX ix_runs_commit ON runs ("commit");
CREATE INDEX ix_runs_lock_digest ON runs (lock_digest);
CREATE INDEX ix_runs_start_ms ON runs (start_ms);
CREATE INDEX ix_run_inputs_digest ON run_inputs (digest);
CREATE INDEX ix_run_stages_digest ON run_stages (digest);
CREATE INDEX ix_logged_models_experiment_id_created_ms ON logged_models (experiment_id, created_ms);
CREATE INDEX ix_logged_models_source_run_id ON logged_models (source_run_id);
CREATE INDEX ix_tokens_user ON tokens (user);
CREATE INDEX ix_webhook_deliveries_next_ms ON webhook_deliveries (next_ms);
CREATE INDEX ix_run_datasets_dataset_id ON run_datasets (dataset_id);
CREATE INDEX ix_run_latest_metrics_order ON run_latest_metrics (experiment_id, "key", is_nan, value);
CREATE INDEX ix_run_models_model_id ON run_models (model_id);
CREATE INDEX ix_runs_experiment_id_start_ms_id ON runs (experiment_id, start_ms, id);
CREATE INDEX ix_model_versions_logged_model_id ON model_versions (logged_model_id);
CREATE INDEX ix_logged_model_metrics_key_value ON logged_model_metrics ("key", value);
CREATE INDEX ix_run_tags_parent ON run_tags (value) WHERE key = 'mlflow.parentRunId' AND length(value) <= 64;
CREATE VIEW metrics AS SELECT 'a store of Penstock, not of MLflow' AS note;
CREATE VIEW params AS SELECT 'a store of Penstock, not of MLflow' AS note;
CREATE VIEW tags AS SELECT 'a store of Penstock, not of MLflow' AS note;
CREATE INDEX ix_version_states_model_number ON version_states (model, number);
CREATE INDEX ix_alerts_endpoint_id ON alerts (endpoint, id);
CREATE INDEX ix_alert_deliveries_next_ms ON alert_deliveries (next_ms);
CREATE INDEX ix_windows_counts ON windows (endpoint, version, route, start_s, revision, request_count, error_count, row_count, label_count);
CREATE INDEX ix_windows_failures ON windows (start_s, endpoint, error_count, nonfinite_count);
CREATE INDEX ix_run_inputs_path ON run_inputs (path);
CREATE INDEX ix_model_version_inputs_path ON model_version_inputs (path);
CREATE INDEX ix_observation_batches_received_ms ON observation_batches (received_ms);
CREATE INDEX ix_observation_halves_received_ms ON observation_halves (received_ms);
CREATE INDEX ix_refusals_start_s ON refusals (start_s);
CREATE INDEX ix_waiting_labels_endpoint_received_ms ON waiting_labels (endpoint, received_ms);
DELETE FROM "sqlite_sequence";
