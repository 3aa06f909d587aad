"""What must hold of a rendered chart.

  rendered.py check RENDERED VALUES     pods against the restricted standard, references, policies, names
  rendered.py configs RENDERED FOLDER   writes each config.json there, with files for its references
"""

import json
import os
import re
import sys

import yaml

PODS = {"Deployment", "StatefulSet", "Job", "CronJob", "Pod"}
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def load(path):
    with open(path, encoding="utf-8") as file:
        return [each for each in yaml.safe_load_all(file) if each]


def pod_of(item):
    if item["kind"] == "Pod":
        return item
    if item["kind"] == "CronJob":
        return item["spec"]["jobTemplate"]["spec"]["template"]
    return item["spec"]["template"]


def selects(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def restricted(name, spec, claims, wrong):
    """The Pod Security Standard "restricted", and more that we promise."""
    context = spec.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        wrong.append(f"{name}: may run as root")
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        wrong.append(f"{name}: no seccomp profile")
    if spec.get("automountServiceAccountToken") is not False:
        wrong.append(f"{name}: has a token of the API")
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            wrong.append(f"{name}: {key}")
    for volume in spec.get("volumes", []):
        if set(volume) - {"name"} - VOLUMES:
            wrong.append(f"{name}: volume {volume}")
    for container in spec.get("initContainers", []) + spec["containers"]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities", {}).get("drop") != ["ALL"]:
            wrong.append(f"{name}/{container['name']}: privileges")
        if own.get("readOnlyRootFilesystem") is not True:
            wrong.append(f"{name}/{container['name']}: writable root")
        if not re.search(r"(:[^/:]+|@sha256:[0-9a-f]{64})$", container["image"]) or container["image"].endswith(":latest"):
            wrong.append(f"{name}/{container['name']}: image {container['image']} is not pinned")
        if "limits" not in container.get("resources", {}) or "requests" not in container["resources"]:
            wrong.append(f"{name}/{container['name']}: no requests and limits")
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        if not mounts <= claims | {volume["name"] for volume in spec.get("volumes", [])}:
            wrong.append(f"{name}/{container['name']}: mounts what is not there")


def references(spec):
    """(kind, name, keys) of every Secret and ConfigMap that a pod reads."""
    for volume in spec.get("volumes", []):
        sources = [volume] if "secret" in volume or "configMap" in volume else volume.get("projected", {}).get("sources", [])
        for source in sources:
            for kind, field in (("Secret", "secret"), ("ConfigMap", "configMap")):
                if field in source:
                    value = source[field]
                    yield kind, value.get("name", value.get("secretName")), [i["key"] for i in value.get("items", [])]
    for container in spec.get("initContainers", []) + spec["containers"]:
        for variable in container.get("env", []):
            if "secretKeyRef" in variable.get("valueFrom", {}):
                value = variable["valueFrom"]["secretKeyRef"]
                yield "Secret", value["name"], [value["key"]]


def check_names(items, wrong):
    """Every address between services is one that the other side's certificate names."""
    certificates = {each["spec"]["secretName"]: each["spec"] for each in items if each["kind"] == "Certificate"}
    if not certificates:
        return
    for item in items:
        component = item["metadata"]["labels"].get("app.kubernetes.io/component")
        if item["kind"] not in PODS or component not in ("gateway", "connector", "catalog", "workflow", "audit", "ai"):
            continue
        spec = pod_of(item)["spec"]
        secrets = [name for kind, name, _ in references(spec) if kind == "Secret" and name in certificates]
        if len(secrets) != 1 or certificates[secrets[0]]["uris"] != [f"spiffe://meta-mcp/{component}"]:
            wrong.append(f"{component}: its certificate does not name its role")
            continue
        for variable in spec["containers"][0]["env"]:
            if variable["name"] == "META_MCP_SERVICES_ADVERTISE":
                host = variable["value"].split(":")[0].replace("$(POD_NAME)", "*")
                if host not in certificates[secrets[0]]["dnsNames"]:
                    wrong.append(f"{component}: its certificate does not name {host}")
    for item in items:
        if item["kind"] == "ConfigMap":
            config = json.loads(item["data"]["config.json"])
            for role in ("catalog", "audit"):
                address = config["services"].get(role, {}).get("address")
                names = [name for spec in certificates.values() if spec.get("uris") == [f"spiffe://meta-mcp/{role}"]
                         for name in spec["dnsNames"]]
                if address and address.removeprefix("dns:///").rsplit(":", 1)[0] not in names:
                    wrong.append(f"{item['metadata']['name']}: no certificate names the {role} {address}")


def check_scrape(monitor, items, pods, policies, wrong):
    """What a ServiceMonitor names is a port of a Service, of its pods, and open in their policies."""
    name, port = monitor["metadata"]["name"], monitor["spec"]["endpoints"][0]["port"]
    services = [each["spec"] for each in items
                if each["kind"] == "Service" and selects(monitor["spec"]["selector"]["matchLabels"], each["metadata"]["labels"])
                and any(one["name"] == port for one in each["spec"]["ports"])]
    if len(services) != 1:
        wrong.append(f"{name}: {len(services)} Services have the port {port}")
        return
    for _, pod in pods:
        labels = pod["metadata"]["labels"]
        if not selects(services[0]["selector"], labels):
            continue
        numbers = [one["containerPort"] for one in pod["spec"]["containers"][0]["ports"] if one["name"] == port]
        open_ports = [one["port"] for each in policies if selects(each["podSelector"].get("matchLabels", {}), labels)
                      for rule in each.get("ingress", []) for one in rule["ports"]]
        if not numbers or numbers[0] not in open_ports:
            wrong.append(f"{name}: {port} is closed")


def check(path, values_path):
    items = load(path)
    with open(values_path, encoding="utf-8") as file:
        values = file.read()
    wrong = []
    made = {(each["kind"], each["metadata"]["name"]): each for each in items}
    if len(made) != len(items):
        wrong.append("two objects of the same kind and name")
    for certificate in (each for each in items if each["kind"] == "Certificate"):
        made[("Secret", certificate["spec"]["secretName"])] = {}
    pods = [(f"{each['kind']}/{each['metadata']['name']}", pod_of(each)) for each in items if each["kind"] in PODS]
    claims = {claim["metadata"]["name"] for each in items for claim in each.get("spec", {}).get("volumeClaimTemplates", [])}
    policies = [each["spec"] for each in items if each["kind"] == "NetworkPolicy"]
    for name, pod in pods:
        restricted(name, pod["spec"], claims, wrong)
        for kind, reference, keys in references(pod["spec"]):
            there = made.get((kind, reference))
            if there is None and reference not in values:
                wrong.append(f"{name}: nobody makes the {kind} {reference}")
            elif there and not set(keys) <= set(there.get("data", {})):
                wrong.append(f"{name}: {kind} {reference} has not all of {keys}")
        labels = pod["metadata"]["labels"]
        for direction in ("Ingress", "Egress"):
            if not any(direction in each["policyTypes"] and selects(each["podSelector"].get("matchLabels", {}), labels)
                       for each in policies):
                wrong.append(f"{name}: {direction} is open")
    for each in items:
        if each["kind"] in ("Service", "PodDisruptionBudget"):
            selector = each["spec"]["selector"]
            selector = selector.get("matchLabels", selector)
            if not any(selects(selector, pod["metadata"]["labels"]) for _, pod in pods):
                wrong.append(f"{each['kind']} {each['metadata']['name']} selects nothing")
        if each["kind"] == "HorizontalPodAutoscaler":
            target = each["spec"]["scaleTargetRef"]
            there = made.get((target["kind"], target["name"]), {})
            if "replicas" in there.get("spec", {"replicas": 1}):
                wrong.append(f"{each['metadata']['name']}: the replicas have two masters")
        if each["kind"] == "Ingress" and each["metadata"]["annotations"].get("nginx.ingress.kubernetes.io/proxy-buffering") != "off":
            wrong.append("the ingress buffers event streams")
        if each["kind"] == "ServiceMonitor":
            credentials = each["spec"]["endpoints"][0]["authorization"]["credentials"]
            if credentials["key"] not in made[("Secret", credentials["name"])]["data"]:
                wrong.append("the ServiceMonitor has no key")
            check_scrape(each, items, pods, policies, wrong)
    check_names(items, wrong)
    print("\n".join(wrong) or f"{len(items)} objects, {len(pods)} kinds of pods")
    return 1 if wrong else 0


def configs(path, folder):
    os.makedirs(folder, exist_ok=True)
    root = os.path.join(os.path.abspath(folder), "etc")
    found = 0
    for item in load(path):
        if item["kind"] != "ConfigMap":
            continue
        found += 1
        text = item["data"]["config.json"].replace("/etc/meta-mcp", root)
        for file in re.findall(r"\$\{file:([^}]+)\}", text):
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "w", encoding="utf-8") as out:
                out.write("postgresql://metamcp@db.example.com/metamcp" if file.endswith("/url") else f"a key of {os.path.basename(file)}, long enough")
        with open(os.path.join(folder, item["metadata"]["name"] + ".json"), "w", encoding="utf-8") as out:
            out.write(text)
    return 0 if found >= 4 else 1


if __name__ == "__main__":
    sys.exit({"check": check, "configs": configs}[sys.argv[1]](*sys.argv[2:]))
