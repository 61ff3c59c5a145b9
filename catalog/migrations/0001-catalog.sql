-- Times are those of the machines that did the work, except the columns that default to now().

CREATE TABLE cofre.configurations (
  version integer PRIMARY KEY CHECK (version > 0),
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  document jsonb NOT NULL,
  based_on integer REFERENCES cofre.configurations,
  forced boolean NOT NULL,
  applied_by text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE cofre.backups (
  id text PRIMARY KEY CHECK (id ~ '^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$'),
  environment text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('environment', 'database', 'files', 'keys')),
  mode text NOT NULL CHECK (mode IN ('full', 'incremental', 'differential')),
  set_id text REFERENCES cofre.backups,
  parent_id text REFERENCES cofre.backups,
  state text NOT NULL CHECK (state IN ('running', 'complete', 'incomplete', 'failed', 'deleting', 'deleted')),
  anomalous boolean NOT NULL DEFAULT false,
  held boolean NOT NULL DEFAULT false,
  adopted boolean NOT NULL DEFAULT false,
  workflow_id text NOT NULL,
  run_id text NOT NULL,
  routine text,
  -- No reference: a catalog rebuilt from the destinations has the backups of configurations that are lost.
  config_version integer NOT NULL,
  pipeline text,
  host text,
  attempt text,
  raw_bytes bigint CHECK (raw_bytes >= 0),
  rows bigint CHECK (rows >= 0),
  warnings jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(warnings) = 'array'),
  error_code text,
  error_message text,
  error_hint text,
  started_at timestamptz NOT NULL,
  finished_at timestamptz,
  last_proven_at timestamptz,
  CHECK ((state = 'running') = (finished_at IS NULL))
);

CREATE INDEX backups_by_environment ON cofre.backups (environment, id DESC);

CREATE TABLE cofre.copies (
  backup_id text NOT NULL REFERENCES cofre.backups,
  destination text NOT NULL,
  state text NOT NULL
    CHECK (state IN ('uploading', 'uploaded', 'verified', 'missing', 'suspect', 'deleting', 'deleted')),
  attempt text,
  size_bytes bigint CHECK (size_bytes >= 0),
  sha256 text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  manifest_key text,
  verified_at timestamptz,
  error_code text,
  error_message text,
  error_hint text,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (backup_id, destination),
  -- The first promise: a verified copy names what was read back.
  CHECK (
    state <> 'verified'
    OR (attempt IS NOT NULL AND size_bytes IS NOT NULL AND sha256 IS NOT NULL AND verified_at IS NOT NULL)
  )
);

-- Apart from the backups, so that lists do not drag whole manifests along.
CREATE TABLE cofre.manifests (
  backup_id text PRIMARY KEY REFERENCES cofre.backups,
  sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  snapshot_at timestamptz NOT NULL,
  document jsonb NOT NULL
);

CREATE TABLE cofre.restores (
  id text PRIMARY KEY,
  environment text NOT NULL,
  from_environment text,
  backup_id text REFERENCES cofre.backups,
  file_path text,
  workflow_id text NOT NULL,
  run_id text NOT NULL,
  host text,
  state text NOT NULL CHECK (state IN ('running', 'restored', 'failed', 'refused', 'cancelled')),
  phases jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(phases) = 'object'),
  requested_by text NOT NULL,
  reason text,
  ticket text,
  old_database text,
  old_oid bigint,
  new_oid bigint,
  report jsonb,
  error_code text,
  error_message text,
  error_hint text,
  started_at timestamptz NOT NULL,
  finished_at timestamptz,
  CHECK (num_nonnulls(backup_id, file_path) <= 1),
  CHECK ((state = 'running') = (finished_at IS NULL))
);

CREATE INDEX restores_by_environment ON cofre.restores (environment, started_at DESC);

-- The row with the highest number is the server on which the environment's database is expected; the others are history.
CREATE TABLE cofre.servers (
  environment text NOT NULL,
  number integer NOT NULL CHECK (number > 0),
  system_identifier text NOT NULL,
  server text NOT NULL,
  version text NOT NULL,
  accepted_by text,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (environment, number)
);
