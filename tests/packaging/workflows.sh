# The workflows for test, scan and release, and the Makefile's help.
workflows_hold() { # they parse, need what exists, and call what exists
  python3 - "$ROOT" <<'PY'
import os
import re
import sys

import yaml

root = sys.argv[1]
folder = os.path.join(root, ".github/workflows")
with open(os.path.join(root, "Makefile"), encoding="utf-8") as file:
    targets = set(re.findall(r"^([a-z]+):", file.read(), re.M))
wrong, steps = [], 0
for name in sorted(os.listdir(folder)):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        jobs = yaml.safe_load(file)["jobs"]
    for job, spec in jobs.items():
        for needed in [spec.get("needs", [])] if isinstance(spec.get("needs"), str) else spec.get("needs", []):
            if needed not in jobs:
                wrong.append(f"{name}: {job} needs {needed}, which is not there")
        for step in spec["steps"]:
            steps += 1
            if "uses" in step and not re.search(r"@v\d", step["uses"]):
                wrong.append(f"{name}: {step['uses']} is not pinned")
            for line in step.get("run", "").splitlines():
                for target in re.findall(r"^(?:\S+=\S+ )?make ([a-z]+)$", line):
                    if target not in targets:
                        wrong.append(f"{name}: make {target}")
                for script in re.findall(r"(?<!/)\b(scripts/\w+)", line):
                    if not os.access(os.path.join(root, script), os.X_OK):
                        wrong.append(f"{name}: {script}")
print("\n".join(wrong) or f"{steps} steps")
sys.exit(1 if wrong or not steps else 0)
PY
}
help_is_whole() { # every target that is no file has a line in the help
  local target help
  help=$(make -s -C "$ROOT" help)
  for target in $(sed -n 's/^\.PHONY: help //p' "$ROOT/Makefile"); do
    grep -q "  make $target " <<<"$help" || { echo "make help does not name $target"; return 1; }
  done
}
check "workflows: jobs and steps (P1-IaC-3 M-NFR-006.5)" workflows_hold
check "make help names every target" help_is_whole
