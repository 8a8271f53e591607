"""The bench on which graphs are run: one thread, fixed shapes, no other file, no custom operators.

It answers with named arrays, or with nothing where a graph gives up on an image: the decision then says that there was
no answer, and escalates.
"""

from collections.abc import Sequence
from types import TracebackType

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from appliance.core.package import Package
from appliance.errors import Misconfigured

Arrays = dict[str, NDArray[np.float32]]


class Bench:
    """Runs the graphs of verified packages whose golden films gave what they must.

    faults  title -> why a package is not used
    """

    def __init__(self, packages: Sequence[Package]) -> None:
        self.faults: dict[str, Misconfigured] = {}
        self._packages = {package.title: package for package in packages}
        self._sessions: dict[tuple[str, int], onnxruntime.InferenceSession] = {}
        for title in self._packages:
            try:
                self.self_test(title)
            except Misconfigured as fault:
                self.faults[title] = fault

    def __enter__(self) -> "Bench":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, title: str, exit: int, tensor: NDArray[np.float32]) -> Arrays:
        """Outputs by name of one exit, counted from 1; exit 2 takes the trunk that exit 1 gave. {}: no answer."""
        return self._run(title, exit - 1, tensor)

    def check(self, title: str, picture: NDArray[np.float32]) -> Arrays:
        """Outputs by name of the check network, for a picture float32 [1, 1, side, side]. {}: no answer."""
        return self._run(title, len(self._packages[title].model.manifest.exits), picture)

    def _run(self, title: str, number: int, tensor: NDArray[np.float32]) -> Arrays:
        try:
            session = self._session(title, number)
            names = [each.name for each in session.get_outputs()]
            found = session.run(names, {session.get_inputs()[0].name: tensor})
        except Misconfigured:
            return {}
        except RUNTIME_FAULTS:
            return {}
        return dict(zip(names, found, strict=True))

    def _session(self, title: str, number: int) -> onnxruntime.InferenceSession:
        key = (title, number)
        if key not in self._sessions:
            package = self._packages[title]
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.inter_op_num_threads = 1
            options.log_severity_level = 4  # the runtime's own log could name values of the graph
            graph = package.model.manifest.graphs[number]
            try:
                # From bytes the runtime has no folder to look for external data in, so it refuses any.
                self._sessions[key] = onnxruntime.InferenceSession(
                    package.graphs[graph], options, providers=["CPUExecutionProvider"]
                )
            except RUNTIME_FAULTS as error:
                raise Misconfigured("model-package-damaged", graph) from error
        return self._sessions[key]

    def self_test(self, title: str) -> None:
        """Runs the golden films. Raises Misconfigured("model-package-damaged"): another answer than they must give."""
        package = self._packages[title]
        manifest, golden = package.model.manifest, package.golden
        for number in range(len(manifest.graphs)):
            self._session(title, number)
        last = manifest.exits[-1]
        for film, logit, features in zip(golden.films, golden.logits, golden.features, strict=True):
            found: Arrays = {}
            for number, each in enumerate(manifest.exits, start=1):
                found = self.run(title, number, film)
                film = found.get(each.trunk or "", film)
            near = last.logit in found and last.features in found
            near = near and bool(np.abs(found[last.logit][0] - logit) <= golden.tolerance)
            near = near and bool((np.abs(found[last.features][0] - features) <= golden.tolerance).all())
            if not near:
                raise Misconfigured("model-package-damaged", "golden.npz")

    def close(self) -> None:
        """Ends the bench; nothing may be run afterwards."""
        self._sessions.clear()


def _runtime_faults() -> tuple[type[Exception], ...]:
    """The runtime's own exception classes: they share no public base class but Exception and RuntimeError."""
    state = onnxruntime.capi.onnxruntime_pybind11_state
    found = [getattr(state, name) for name in dir(state)]
    own = [kind for kind in found if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError, ValueError)


RUNTIME_FAULTS = _runtime_faults()
