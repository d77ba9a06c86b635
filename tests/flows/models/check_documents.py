"""What the real programs say of a folder of documents; runs in an environment of their own.

python check_documents.py FOLDER PUBLIC_KEY: a problem a line, then `checked`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml


def check_bill(file: Path) -> object:
    """Return what CycloneDX's own library has against a bill of materials."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read_text())


def check_card(file: Path) -> object:
    """Return what Hugging Face's own library reads otherwise than it is written."""
    from huggingface_hub import ModelCard

    text = file.read_text()
    card = ModelCard(text)
    again = ModelCard(f"---\n{card.data.to_yaml()}\n---\n{card.text}")
    written = yaml.safe_load(text.split("---")[1])["model-index"][0]["results"][0]["metrics"]
    read = [one.metric_value for one in card.data.eval_results or ()]
    is_same = again.data.to_dict() == card.data.to_dict() and read == [one["value"] for one in written]
    return None if is_same and read else card.data.to_dict()


def check_statement(file: Path, public: str) -> object:
    """Return what in-toto's own libraries have against a signed statement."""
    from google.protobuf import json_format
    from in_toto_attestation.v1.statement_pb2 import Statement
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

    document = json.loads(file.read_text())
    keyid = document["signatures"][0]["keyid"]
    envelope = Envelope.from_dict(document)
    envelope.verify([SSlibKey(keyid, "ed25519", "ed25519", {"public": public})], 1)
    statement = json_format.Parse(envelope.payload, Statement())
    is_one = statement.type == "https://in-toto.io/Statement/v1" and statement.subject[0].digest["sha256"]
    return None if is_one else statement


def check_signature(folder: Path) -> object:
    """Return what OpenSSF's own program has against the signature of the model."""
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder / "model")]
    command += ["--signature", str(folder / "model.sig"), "--public_key", str(folder.parent / "public.pem")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stdout + done.stderr


def main(folder: Path, public: str) -> None:
    """Print every problem."""
    found = {
        "bom.cdx.json": check_bill(folder / "bom.cdx.json"),
        "README.md": check_card(folder / "README.md"),
    }
    for name in ("provenance.intoto.json", "verification.intoto.json", "documents.intoto.json"):
        found[name] = check_statement(folder / name, public)
    found["model.sig"] = check_signature(folder)
    for name, problem in found.items():
        if problem is not None:
            print(name, problem)
    print("checked")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
