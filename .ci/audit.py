"""Ask for known vulnerabilities of what requirements.lock names; fail when there are any.

A machine that cannot reach the service learns nothing, and says so: that is not a finding, and not
a clean bill either. pip-audit itself calls packages that it could not look up "no known
vulnerabilities", so what it skipped is counted here.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = "requirements.lock"
SECONDS_MAX = 300
_UNREACHABLE = re.compile(
    "ConnectionError|ProxyError|ConnectTimeout|ReadTimeout|SSLError|ServiceError|Max retries"
)


def judge(code: int, report: str, errors: str) -> tuple[int, str]:
    """The exit code and what to say, from those of pip-audit, its report in JSON and its stderr."""
    if not report:
        if _UNREACHABLE.search(errors):
            return 0, "NOT AUDITED: the vulnerability service cannot be reached"
        return code or 1, f"pip-audit failed:\n{errors}"
    packages = json.loads(report)["dependencies"]
    skipped = [it["name"] for it in packages if "skip_reason" in it]
    found = [
        f"{it['name']} {it['version']}: {each['id']} (fixed in {', '.join(each['fix_versions'])})"
        for it in packages
        for each in it.get("vulns", ())
    ]
    if found:
        return 1, "\n".join(["known vulnerabilities:", *found])
    if code:
        return code, f"pip-audit failed:\n{errors}"
    if len(skipped) == len(packages):
        return 0, f"NOT AUDITED: the service knew none of the {len(packages)} packages"
    audited = f"no known vulnerabilities in {len(packages) - len(skipped)} packages"
    return 0, audited + (f"; NOT AUDITED: {', '.join(skipped)}" if skipped else "")


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.json"
        command = [
            str(Path(sys.executable).with_name("pip-audit")), "--requirement", LOCK,
            "--disable-pip", "--progress-spinner", "off", "--format", "json",
            "--output", str(report),
        ]  # fmt: skip
        try:
            run = subprocess.run(  # noqa: S603 - our own words
                command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
            )
        except subprocess.TimeoutExpired:
            code, text = 0, "NOT AUDITED: the vulnerability service does not answer"
        else:
            there = report.read_text() if report.exists() else ""
            code, text = judge(run.returncode, there, run.stderr)
    print(text, file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
