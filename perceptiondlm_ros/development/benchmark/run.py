"""Measure every backend and cache mode that runs here: times by stage, peak memory, a plot.

python -m perceptiondlm_ros.development.benchmark.run [--like small | --checkpoint FOLDER] ...
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from perceptiondlm_ros.development.benchmark.measuring import Measuring
from perceptiondlm_ros.development.benchmark.options import parse
from perceptiondlm_ros.development.benchmark.report import as_text, report, write
from perceptiondlm_ros.errors import PerceptionDLMError

FAILED, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status: 2 if anything asked for was not measured."""
    options = parse(arguments)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        measuring = Measuring(options)
        interrupted = False
        try:
            measuring.measure()
        except KeyboardInterrupt:
            interrupted = True  # what was measured until then is worth keeping
        results = measuring.results
        print(report(results, as_text))
        print("\n" + "\n".join(str(file) for file in write(results, options.output)))
    except (PerceptionDLMError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    if interrupted:
        return INTERRUPTED
    return FAILED if any(subject.failure for subject in results.subjects) else 0


if __name__ == "__main__":
    sys.exit(main())
