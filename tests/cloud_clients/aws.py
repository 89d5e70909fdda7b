"""AWS's own client: creates a stream at a server, or prints the ids of the events in it.

aws.py create|read kinesis|firehose URL STREAM
"""

import json
import sys

import boto3

verb, service, url, stream = sys.argv[1:]


def client(name):
    return boto3.client(
        name, endpoint_url=url, region_name="eu-central-1", aws_access_key_id="AKIA", aws_secret_access_key="x"
    )


def lines():
    """Lines of all records: of a shard, or of the objects that Firehose has written."""
    if service == "kinesis":
        kinesis = client("kinesis")
        for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
            iterator = kinesis.get_shard_iterator(
                StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while True:
                answer = kinesis.get_records(ShardIterator=iterator)
                yield from (record["Data"].decode() for record in answer["Records"])
                iterator = answer.get("NextShardIterator")
                if not answer["Records"] or not iterator:
                    break
        return
    s3 = client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="events"):
        for entry in page.get("Contents", []):
            yield from s3.get_object(Bucket="events", Key=entry["Key"])["Body"].read().decode().splitlines()


match verb, service:
    case "create", "kinesis":
        client("kinesis").create_stream(StreamName=stream, ShardCount=2)
    case "create", "firehose":
        client("s3").create_bucket(
            Bucket="events", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        client("firehose").create_delivery_stream(
            DeliveryStreamName=stream,
            ExtendedS3DestinationConfiguration={
                "RoleARN": "arn:aws:iam::123456789012:role/r",
                "BucketARN": "arn:aws:s3:::events",
            },
        )
    case "read", _:
        for line in lines():
            print(json.loads(line)["id"])
    case _:
        sys.exit(__doc__)
