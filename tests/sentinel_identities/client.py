"""Microsoft's own clients: sign in as KIND, and upload one record.

client.py KIND ISSUER INGESTION RULE STREAM TENANT CLIENT; the secret is in SECRET, the certificate authority in CA.
"""

import os
import sys

from azure.identity import ClientSecretCredential, ManagedIdentityCredential, WorkloadIdentityCredential
from azure.monitor.ingestion import LogsIngestionClient

kind, issuer, ingestion, rule, stream, tenant, client = sys.argv[1:]
secret, authority = os.environ["SECRET"], os.environ["CA"]
entra = {"authority": issuer, "disable_instance_discovery": True, "connection_verify": authority}
match kind:
    case "client_secret":
        credential = ClientSecretCredential(tenant, client, secret, **entra)
    case "workload_identity":
        with open("token", "w", encoding="utf-8") as file:
            file.write(secret)
        credential = WorkloadIdentityCredential(tenant_id=tenant, client_id=client, token_file_path="token", **entra)
    case "managed_identity":
        os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = issuer
        credential = ManagedIdentityCredential()
    case "app":
        os.environ |= {"IDENTITY_ENDPOINT": f"{issuer}/msi/token", "IDENTITY_HEADER": secret}
        credential = ManagedIdentityCredential()
    case _:
        sys.exit(f"unknown identity {kind}")
uploads = LogsIngestionClient(ingestion, credential, connection_verify=authority)
time = "2026-01-01T00:00:00.000Z"
record = {"TimeGenerated": time, "EventTime": time, "RecordUid": "1", "event": {"id": "theirs"}}
uploads.upload(rule_id=rule, stream_name=stream, logs=[record], enforce_https=ingestion.startswith("https"))
