"""The goldens through Keras on the backend of $KERAS_BACKEND; prints the worst errors."""

from __future__ import annotations

import argparse
import time

import numpy as np

from conformance.suite.adapters import KerasAdapter
from conformance.suite.compare import at_real_positions, output_kind, output_scale, relative_error
from conformance.suite.golden import goldens


def main() -> None:
    """Runs them all, or with `--tiny` a few; with `--seconds N` those that are done in time, of all kinds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seconds", type=float, default=1e9)
    options = parser.parse_args()
    import keras

    errors: dict[str, float] = {}
    found = [parameter.values[0] for parameter in goldens()]
    end = time.monotonic() + options.seconds
    # Every seventh, and again from the next one: whatever the time allows has seen all kinds.
    for golden in [golden for first in range(7) for golden in found[first::7]][: 3 if options.tiny else None]:
        if time.monotonic() > end:
            break
        try:
            adapter = KerasAdapter(golden.config, golden.task, golden.params())
            actual = adapter.forward(golden.tensors("input"))
        except Exception as error:
            print(f"{golden.folder.name}: {type(error).__name__}: {error}"[:200])
            errors[golden.folder.name] = float("inf")
            continue
        expected, mask = golden.tensors("output"), golden.mask()
        for name in expected.keys() & actual.keys() - {"loss"}:
            own, judge = (at_real_positions(name, np.asarray(side[name]), mask) for side in (actual, expected))
            found_error = relative_error(own, judge, output_scale(output_kind(name), expected[name]))
            errors[golden.folder.name] = max(errors.get(golden.folder.name, 0.0), found_error)
        # After each, since the time may be up.
        worst = sorted(errors, key=lambda name: -errors[name])[:3]
        shown = {name: f"{errors[name]:.1e}" for name in worst}
        print(keras.config.backend(), len(errors), "of", len(found), "goldens, worst:", shown, flush=True)


if __name__ == "__main__":
    main()
