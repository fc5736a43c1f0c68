"""The manifests of `deploy/`, against the schemas that Kubernetes, the operators and Ray publish.

No package has KubeRay's CRD. Of a RayJob the pods are checked against Kubernetes' own schema, the cluster by
Ray's reader of such clusters, and KubeRay's fields against `RAYJOB`, which has those that are used, with what
KubeRay's API reference says of them.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import re
import shlex
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

kubernetes_validate = pytest.importorskip(
    "kubernetes_validate", reason="pip install 'zoopipe[deploy]'"
)
yaml = pytest.importorskip("yaml", reason="pip install 'zoopipe[deploy]'")

#: The oldest Kubernetes that is still kept up, and the newest that the package knows.
KUBERNETES = ("1.33", kubernetes_validate.latest_version())

STRING, WHOLE, POSITIVE = {"type": "string"}, {"type": "integer", "minimum": 0}, {"minimum": 1}
START = {"type": "object", "additionalProperties": STRING}


def fields(required: Iterable[str] = (), **known: Any) -> dict[str, Any]:
    """The schema of an object that has no other fields."""
    return {
        "type": "object",
        "properties": known,
        "required": list(required),
        "additionalProperties": False,
    }


#: Source: KubeRay's API reference for ray.io/v1, https://ray-project.github.io/kuberay/reference/api/
RAYJOB = fields(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields(("name",), name=STRING),
    spec=fields(
        entrypoint=STRING,
        backoffLimit=WHOLE,
        activeDeadlineSeconds=WHOLE | POSITIVE,
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=WHOLE,
        rayClusterSpec=fields(
            ("headGroupSpec",),
            rayVersion=STRING,
            authOptions=fields(mode={"enum": ["disabled", "token"]}),
            headGroupSpec=fields(("template",), rayStartParams=START, template={"type": "object"}),
            workerGroupSpecs={
                "type": "array",
                "items": fields(
                    ("groupName", "minReplicas", "maxReplicas", "template"),
                    groupName=STRING,
                    replicas=WHOLE,
                    minReplicas=WHOLE,
                    maxReplicas=WHOLE,
                    rayStartParams=START,
                    template={"type": "object"},
                ),
            },
        ),
    ),
)


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def document(path: Path, kind: str) -> dict[str, Any]:
    """The only document of a kind."""
    (found,) = (each for each in documents(path) if each["kind"] == kind)
    return found


def check_kubernetes(value: dict[str, Any]) -> None:
    """Raises where Kubernetes does not know a field or would refuse its value."""
    for version in KUBERNETES:
        kubernetes_validate.validate(value, version, strict=True)


def check_rayjob(value: dict[str, Any]) -> None:
    jsonschema.validate(value, RAYJOB)
    cluster = value["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        check_kubernetes({"apiVersion": "v1", "kind": "PodTemplate", "template": group["template"]})


def check_daskjob(value: dict[str, Any]) -> None:
    daskjob_schema().validate(value)


@cache
def daskjob_schema() -> jsonschema.Draft202012Validator:
    """The schema in the CRD that dask-kubernetes installs."""
    spec = importlib.util.find_spec("dask_kubernetes")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("pip install 'zoopipe[deploy]'")
    charts = Path(spec.submodule_search_locations[0]) / "operator/deployment/helm"
    crd = yaml.safe_load((charts / "dask-kubernetes-operator/crds/daskjob.yaml").read_text())
    (version,) = (each for each in crd["spec"]["versions"] if each["name"] == "v1")
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    schema["properties"] |= {"apiVersion": STRING, "kind": STRING, "metadata": {"type": "object"}}
    return jsonschema.Draft202012Validator(closed(schema))


def closed(schema: Any) -> Any:
    """The same schema, by which fields that it does not name are refused; Kubernetes would drop them."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        made.setdefault("additionalProperties", False)
    return made


@pytest.mark.parametrize(
    ("manifest", "kind", "check"),
    [
        ("ray/rayjob.yaml", "PersistentVolumeClaim", check_kubernetes),
        ("ray/rayjob.yaml", "RayJob", check_rayjob),
        ("dask/daskjob.yaml", "PersistentVolumeClaim", check_kubernetes),
        ("dask/daskjob.yaml", "NetworkPolicy", check_kubernetes),
        ("dask/daskjob.yaml", "DaskJob", check_daskjob),
    ],
)
def test_manifest_fits_its_schema_and_a_misspelled_field_does_not_when_checked(
    manifest: str, kind: str, check: Callable[[dict[str, Any]], None], deploy: Path
) -> None:
    value = document(deploy / manifest, kind)
    check(value)
    broken = list(misspelled(value["spec"]))
    assert len(broken) > 1
    for spec in broken:
        with pytest.raises(jsonschema.ValidationError):
            check({**value, "spec": spec})


def misspelled(value: Any) -> Iterable[Any]:
    """Copies of a value, each with one field's name wrong; names that are free are left alone."""
    if isinstance(value, list):
        for index, each in enumerate(value):
            for wrong in misspelled(each):
                yield [*value[:index], wrong, *value[index + 1 :]]
    if not isinstance(value, dict):
        return
    for name, each in value.items():
        if name in ("matchLabels", "selector", "rayStartParams", "requests", "limits"):
            continue
        rest = {other: kept for other, kept in value.items() if other != name}
        yield {**copy.deepcopy(rest), f"{name}z": each}
        for wrong in misspelled(each):
            yield {**rest, name: wrong}


def test_manifests_are_all_checked_when_a_folder_has_more(deploy: Path) -> None:
    found = {str(path.relative_to(deploy)) for path in deploy.rglob("*.y*ml")}
    assert found == {"ray/rayjob.yaml", "ray/cluster.yaml", "dask/daskjob.yaml"}


def test_rayjob_has_the_workers_that_it_asks_for_when_ray_reads_its_cluster(deploy: Path) -> None:
    config = pytest.importorskip(
        "ray.autoscaler._private.kuberay.autoscaling_config", reason="pip install 'zoopipe[ray]'"
    )
    job = document(deploy / "ray/rayjob.yaml", "RayJob")
    metadata = {"name": "zoopipe", "namespace": "default"}
    cluster = {"metadata": metadata, "spec": job["spec"]["rayClusterSpec"]}
    read = config._derive_autoscaling_config_from_ray_cr(cluster)
    jsonschema.validate(read, ray_schema())
    nodes = {name: group["resources"] for name, group in read["available_node_types"].items()}
    assert nodes == {
        "headgroup": {"CPU": 0, "memory": 2 * 2**30},
        "workers": {"CPU": 2, "memory": 2 * 2**30},
    }
    assert read["available_node_types"]["workers"]["min_workers"] == 2
    assert workers_of(shlex.split(job["spec"]["entrypoint"])) == 2 * 2


def test_cluster_file_is_one_that_ray_takes_when_ray_checks_it(deploy: Path) -> None:
    util = pytest.importorskip("ray.autoscaler._private.util", reason="pip install 'zoopipe[ray]'")
    (value,) = documents(deploy / "ray/cluster.yaml")
    jsonschema.validate(value, ray_schema())
    for name in value:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**value, f"{name}z": value[name]}, ray_schema())
    prepared = util.prepare_config(value)
    util.validate_config(prepared)
    (nodes,) = prepared["available_node_types"].values()
    assert nodes["min_workers"] == len(value["provider"]["worker_ips"])


def test_nodes_are_started_with_options_that_ray_has_when_manifests_say_how(deploy: Path) -> None:
    scripts = pytest.importorskip("ray.scripts.scripts", reason="pip install 'zoopipe[ray]'")
    cluster = document(deploy / "ray/rayjob.yaml", "RayJob")["spec"]["rayClusterSpec"]
    groups = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
    calls = [[f"--{k}={v}" for k, v in group["rayStartParams"].items()] for group in groups]
    (file,) = documents(deploy / "ray/cluster.yaml")
    for role in ("head", "worker"):
        command = file[f"{role}_start_ray_commands"][-1].rpartition("ray start ")[2]
        calls.append(shlex.split(command))
    stores = [
        scripts.start.make_context("start", call).params["object_store_memory"] for call in calls
    ]
    assert stores == [100 * 2**20] * 4


def ray_schema() -> Any:
    """The schema of cluster files that Ray ships."""
    spec = importlib.util.find_spec("ray")
    if spec is None or spec.origin is None:
        pytest.skip("pip install 'zoopipe[ray]'")
    return json.loads((Path(spec.origin).parent / "autoscaler/ray-schema.json").read_text())


def test_pods_fit_kubernetes_schema_when_the_dask_operator_makes_them(deploy: Path) -> None:
    controller = pytest.importorskip(
        "dask_kubernetes.operator.controller.controller", reason="pip install 'zoopipe[deploy]'"
    )
    spec = document(deploy / "dask/daskjob.yaml", "DaskJob")["spec"]
    worker, scheduler = (spec["cluster"]["spec"][name] for name in ("worker", "scheduler"))
    names: dict[str, Any] = {"annotations": {}, "labels": {}, "cluster_name": "zoopipe"}
    job = controller.build_job_pod_spec(
        "zoopipe", namespace="default", spec=spec["job"]["spec"], **names
    )
    made = [
        job,
        controller.build_scheduler_deployment_spec(pod_spec=scheduler["spec"], **names),
        controller.build_scheduler_service_spec(spec=scheduler["service"], **names),
        controller.build_worker_deployment_spec(
            "zoopipe-default", "default", uuid="0", pod_spec=worker["spec"], **names
        ),
    ]
    for each in made:
        check_kubernetes(each)
    # The driver's engine finds the scheduler by this variable, and the service finds its pod by these labels.
    assert "DASK_SCHEDULER_ADDRESS" in {
        each["name"] for each in job["spec"]["containers"][0]["env"]
    }
    pods = made[1]["spec"]["template"]["metadata"]["labels"]
    assert scheduler["service"]["selector"].items() <= pods.items()
    policy = document(deploy / "dask/daskjob.yaml", "NetworkPolicy")["spec"]
    for each in (made[0], made[1]["spec"]["template"], made[3]["spec"]["template"]):
        labels = each["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()


def test_daskjob_has_a_shard_for_each_worker_process_when_it_runs(deploy: Path) -> None:
    spec = document(deploy / "dask/daskjob.yaml", "DaskJob")["spec"]
    cluster = spec["cluster"]["spec"]
    (worker,) = cluster["worker"]["spec"]["containers"]
    (scheduler,) = cluster["scheduler"]["spec"]["containers"]
    (job,) = spec["job"]["spec"]["containers"]
    options = dask_options(worker["args"])
    assert options["n_workers"] == worker["resources"]["limits"]["cpu"] == "2"
    assert options["nthreads"] == 1
    assert dask_options(scheduler["args"])["port"] is None
    assert workers_of(job["args"]) == cluster["worker"]["replicas"] * int(options["n_workers"])


def dask_options(args: list[str]) -> dict[str, Any]:
    """What `dask worker` or `dask scheduler` reads from its arguments."""
    assert args[0] == "dask"
    cli = pytest.importorskip(
        f"distributed.cli.dask_{args[1]}", reason="pip install 'zoopipe[dask]'"
    )
    parsed: dict[str, Any] = cli.main.make_context(args[1], args[2:]).params
    return parsed


def workers_of(args: list[str]) -> int:
    """How many workers a `zoopipe run` asks for; what it runs is in the image."""
    from zoopipe.cli import main

    image = (Path(__file__).resolve().parents[2] / "deploy/docker/Dockerfile").read_text()
    assert args[:2] == ["zoopipe", "run"]
    options = main.commands["run"].make_context("run", args[2:]).params
    path, name = options["target"].split(":")
    assert name == "pipe"
    assert f"COPY deploy/job.py {path}\n" in image
    return int(options["workers"])


def test_versions_of_image_and_manifest_are_the_same_when_ray_checks_them(deploy: Path) -> None:
    image = (deploy / "docker/Dockerfile").read_text()
    (built,) = re.findall(r"^ARG RAY_VERSION=(.+)$", image, re.MULTILINE)
    job = document(deploy / "ray/rayjob.yaml", "RayJob")
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == built
