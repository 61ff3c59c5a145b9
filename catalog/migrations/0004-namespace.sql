-- The one Temporal namespace in which the installation's runs are. The id tells apart those of one name.
CREATE TABLE cofre.namespace (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  name text NOT NULL,
  id text NOT NULL
);
