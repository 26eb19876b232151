//! A database that is there and refuses: replica, rights, password, connections, disk.
