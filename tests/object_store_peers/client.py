"""The clouds' own clients: create a bucket, or write every object of it below a directory.

client.py KIND URL create|dump BUCKET DIRECTORY
"""

import pathlib
import sys

kind, url, action, bucket, directory = sys.argv[1:]
if kind == "azure":
    from azure.core.exceptions import ResourceExistsError
    from azure.storage.blob import BlobServiceClient

    # The account and the key that Azurite documents.
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    service = BlobServiceClient(url, credential={"account_name": "devstoreaccount1", "account_key": key})
    container = service.get_container_client(bucket)
    if action == "create":
        try:
            container.create_container()
        except ResourceExistsError:
            pass
    objects = [(blob.name, container.download_blob(blob.name).readall()) for blob in container.list_blobs()]
else:
    import boto3

    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
                          aws_secret_access_key="q3Vx8LmZ0tR7yBnKw5Hd2FgJ9sPcAe4U")
    if action == "create":
        client.create_bucket(Bucket=bucket)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    names = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    objects = [(name, client.get_object(Bucket=bucket, Key=name)["Body"].read()) for name in names]
for name, content in objects:
    if name.endswith(".zst"):
        file = pathlib.Path(directory, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
