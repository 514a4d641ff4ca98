"""What a package with a workload is made of, for those that ship with raddle and for anybody's.

`raddle.plugin.settings` reads TOML into dataclasses, `raddle.plugin.command_line` has what commands share. This module
is light, since every worker process imports a workload's package: it loads no command line.
"""

from raddle.plugin.package import Workload, exports, granted_cpus, needed

__all__ = ["Workload", "exports", "granted_cpus", "needed"]
