-- Who said of a backup that was marked as anomalous that it is as it should be.
ALTER TABLE cofre.backups ADD accepted_by text, ADD accepted_at timestamptz,
  ADD CHECK ((accepted_by IS NULL) = (accepted_at IS NULL));
