-- Why a backup must not be deleted, and until when. A hold that was released or replaced stays as a row: who did what, and when.
CREATE TABLE cofre.holds (
  backup_id text NOT NULL REFERENCES cofre.backups,
  id uuid NOT NULL,
  reason text NOT NULL,
  -- Null: until somebody releases it, because its file could not be read.
  until timestamptz,
  set_by text NOT NULL,
  set_at timestamptz NOT NULL,
  -- The destination whose hold.json told it; null where it was set in this catalog.
  found_in text,
  releasing_by text,
  releasing_at timestamptz,
  ended text CHECK (ended IN ('released', 'replaced')),
  ended_by text,
  ended_at timestamptz,
  PRIMARY KEY (backup_id, id),
  CHECK ((releasing_by IS NULL) = (releasing_at IS NULL)),
  CHECK (num_nulls(ended, ended_by, ended_at) IN (0, 3))
);

CREATE UNIQUE INDEX one_hold_of_a_backup ON cofre.holds (backup_id) WHERE ended IS NULL;

-- The hold whose file lies beside this copy.
ALTER TABLE cofre.copies ADD hold_id uuid;

-- It was never set, and could not say that a hold is over.
ALTER TABLE cofre.backups DROP held;

-- From when on the catalog may lack holds that destinations know, and who has looked at them since. At most one is open.
CREATE TABLE cofre.hold_confirmations (
  unconfirmed_since timestamptz PRIMARY KEY DEFAULT clock_timestamp(),
  why text NOT NULL,
  confirmed_by text,
  confirmed_at timestamptz,
  CHECK ((confirmed_by IS NULL) = (confirmed_at IS NULL))
);

CREATE UNIQUE INDEX one_open_hold_confirmation ON cofre.hold_confirmations ((true)) WHERE confirmed_at IS NULL;
