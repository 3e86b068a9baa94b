"""The performance database: measurements with their device, software and conditions.

`Database.open` opens a SQLite file or a PostgreSQL server; `Measurement`, `Run` and `Trial` are its
records.
`export_file` and `import_file` use Parquet and JSON Lines, `read_nccl_measurements` reads
nccl-tests' logs, `IMPORTERS` names the readers of other files, and `open_shipped` finds the
measurements that come with the package. Estimators read any of them as `Readings`. `foreign`
reads folders that others publish.
"""

from typing import TYPE_CHECKING

from lydite.registry import lazily

if TYPE_CHECKING:
    from lydite.store.counts import CoverageCount
    from lydite.store.database import Database
    from lydite.store.exchange import export_file, import_file
    from lydite.store.foreign.load import Counts
    from lydite.store.importers import IMPORTERS, Importer, import_path, told_device
    from lydite.store.nccl import read_nccl_measurements
    from lydite.store.readings import Filters, Readings, Table
    from lydite.store.records import Conditions, DeviceRecord, Measurement, Run, Software
    from lydite.store.shipped import open_shipped, shipped_devices
    from lydite.store.trials import Trial
    from lydite.store.unopened import Unopened, usual_target
    from lydite.store.values import seconds_between, utc_now

__all__ = [
    "IMPORTERS",
    "Conditions",
    "Counts",
    "CoverageCount",
    "Database",
    "DeviceRecord",
    "Filters",
    "Importer",
    "Measurement",
    "Readings",
    "Run",
    "Software",
    "Table",
    "Trial",
    "Unopened",
    "export_file",
    "import_file",
    "import_path",
    "open_shipped",
    "read_nccl_measurements",
    "seconds_between",
    "shipped_devices",
    "told_device",
    "usual_target",
    "utc_now",
]

_WHERE = {
    **dict.fromkeys(("CoverageCount",), "counts"),
    **dict.fromkeys(("Database",), "database"),
    **dict.fromkeys(("Filters", "Readings", "Table"), "readings"),
    **dict.fromkeys(("Unopened", "usual_target"), "unopened"),
    **dict.fromkeys(("export_file", "import_file"), "exchange"),
    **dict.fromkeys(("Counts",), "foreign.load"),
    **dict.fromkeys(("IMPORTERS", "Importer", "import_path", "told_device"), "importers"),
    **dict.fromkeys(("read_nccl_measurements",), "nccl"),
    **dict.fromkeys(("Conditions", "DeviceRecord", "Measurement", "Run", "Software"), "records"),
    **dict.fromkeys(("open_shipped", "shipped_devices"), "shipped"),
    **dict.fromkeys(("Trial",), "trials"),
    **dict.fromkeys(("seconds_between", "utc_now"), "values"),
}

__getattr__ = lazily(__name__, _WHERE)
