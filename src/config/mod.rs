//! Files become checked settings; errors name file, line, key and what was expected.
