-- Whoever else changes a user, such as a service that still runs beside this one, knows nothing of versions. This raises the version
-- for them, so that no client takes the user for unchanged. An UPDATE of this service raises it by itself, and pays for the
-- comparison alone.
CREATE OR REPLACE FUNCTION usher_next_version() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.version := OLD.version + 1; RETURN NEW; END $$;

CREATE OR REPLACE TRIGGER usher_next_version BEFORE UPDATE ON users
    FOR EACH ROW WHEN (NEW.version = OLD.version) EXECUTE FUNCTION usher_next_version();
