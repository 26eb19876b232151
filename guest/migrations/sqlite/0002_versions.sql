-- Whoever else changes a user, such as a service that still runs beside this one, knows nothing of versions. This raises the version
-- for them, so that no client takes the user for unchanged. An UPDATE of this service raises it by itself, and pays for the
-- comparison alone.
CREATE TRIGGER IF NOT EXISTS usher_next_version AFTER UPDATE ON users
    FOR EACH ROW WHEN NEW.version = OLD.version
    BEGIN UPDATE users SET version = OLD.version + 1 WHERE id = NEW.id; END;
