"""The compiled loops of serving. Import only through `lydite.engine.compiled`."""
