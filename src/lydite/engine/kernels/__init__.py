"""The compiled loops. Import only through `lydite.engine.compiled`, which sets their cache."""
