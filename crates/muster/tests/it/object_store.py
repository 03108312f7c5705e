"""Makes buckets, and reads back what the sink wrote, with clients that nobody here wrote: boto3, azure-storage-blob, zstandard,
pyarrow and DuckDB.

    object_store.py make s3|azure ENDPOINT BUCKET
    object_store.py store s3|azure ENDPOINT BUCKET FOLDER   puts the folder's files there
    object_store.py fetch s3|azure ENDPOINT BUCKET FOLDER
    object_store.py lines FOLDER FILE             all lines of all .ndjson.zst below FOLDER, into FILE
    object_store.py parquet FOLDER NDJSON_FOLDER  each event of the one is an event of the other
"""

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path

KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def s3(endpoint):
    import boto3

    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="eu-west-1", aws_access_key_id="id", aws_secret_access_key="key"
    )


def azure(endpoint, container):
    from azure.storage.blob import ContainerClient

    url = f"{endpoint}/devstoreaccount1"
    return ContainerClient(url, container, credential={"account_name": "devstoreaccount1", "account_key": KEY})


def make(kind, endpoint, bucket):
    if kind == "s3":
        s3(endpoint).create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    else:
        azure(endpoint, bucket).create_container()


def store(kind, endpoint, bucket, folder):
    """In Azure each is an append blob, to which what is new is appended."""
    container = azure(endpoint, bucket) if kind == "azure" else None
    client = s3(endpoint) if kind == "s3" else None
    for path in sorted(Path(folder).rglob("*")):
        if not path.is_file():
            continue
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        if client:
            client.put_object(Bucket=bucket, Key=name, Body=content)
            continue
        blob = container.get_blob_client(name)
        if blob.exists():
            begin = blob.get_blob_properties().size
        else:
            blob.create_append_blob()
            begin = 0
        for at in range(begin, len(content), 4 << 20):
            blob.append_block(content[at : at + (4 << 20)])


def objects(kind, endpoint, bucket):
    """Name, bytes and digest of each object."""
    if kind == "s3":
        client = s3(endpoint)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for page in pages:
            for found in page.get("Contents", []):
                whole = client.get_object(Bucket=bucket, Key=found["Key"])
                yield found["Key"], whole["Body"].read(), whole["Metadata"].get("mustersha256")
    else:
        container = azure(endpoint, bucket)
        for found in container.list_blobs(include=["metadata"]):
            yield found.name, container.download_blob(found.name).readall(), (found.metadata or {}).get("mustersha256")


def fetch(kind, endpoint, bucket, folder):
    count = 0
    for name, content, digest in objects(kind, endpoint, bucket):
        assert digest == hashlib.sha256(content).hexdigest(), f"{name}: {digest}"
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        count += 1
    print(count)


def read_lines(folder):
    import zstandard

    for path in sorted(Path(folder).rglob("*.ndjson.zst")):
        text = zstandard.ZstdDecompressor().decompress(path.read_bytes())
        assert text.endswith(b"\n"), path
        yield from text.splitlines()


def lines(folder, file):
    count = 0
    with open(file, "wb") as out:
        for line in read_lines(folder):
            out.write(line + b"\n")
            count += 1
    print(count)


def bare(value):
    """Without what is not there."""
    if isinstance(value, dict):
        return {key: bare(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [bare(item) for item in value]
    return value


def event_of(row):
    event = bare(row)
    for evidence in event.get("evidences", []):
        if "data" in evidence:
            evidence["data"] = json.loads(evidence["data"])
    if "unmapped" in event:
        unmapped = json.loads(event.pop("unmapped"))
        without = unmapped.pop("muster_without_column", {})
        if unmapped:
            event["unmapped"] = unmapped
        event.update(without)
    return event


def parquet(folder, ndjson):
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    schemas, events, sizes = {}, Counter(), []
    files = sorted(Path(folder).rglob("*.parquet"))
    for path in files:
        read = pq.ParquetFile(path)
        table = read.read()
        rows = [event_of(row) for row in table.to_pylist()]
        (class_uid,) = {row["class_uid"] for row in rows}
        parts = dict(part.split("=") for part in path.parts if "=" in part)
        assert f"muster_{class_uid}" in path.parts, path
        assert parts["region"] == "eu-west-1" and parts["accountId"].startswith("external_"), path
        times = table.column("time").to_pylist()
        assert times == sorted(times), path
        days = {__import__("datetime").datetime.utcfromtimestamp(time / 1000).strftime("%Y%m%d") for time in times}
        assert days == {parts["eventDay"]}, (path, days)
        for name, kind in (("time", pa.int64()), ("class_uid", pa.int32()), ("unmapped", pa.string())):
            assert table.schema.field(name).type == kind, (path, name, table.schema.field(name))
        assert pa.types.is_struct(table.schema.field("metadata").type)
        # The same columns in each file of a class.
        assert schemas.setdefault(class_uid, table.schema) == table.schema, path
        for group in range(read.metadata.num_row_groups):
            column = read.metadata.row_group(group).column(0)
            assert column.compression == "ZSTD", column
        events.update(json.dumps(row, sort_keys=True) for row in rows)
        sizes.append((path.stat().st_size, len(rows), read.metadata.num_columns))
    wanted = Counter(json.dumps(json.loads(line), sort_keys=True) for line in read_lines(ndjson))
    assert events == wanted, f"{sum((events - wanted).values())} events too many, {sum((wanted - events).values())} missing"
    assert not any("muster_without_column" in event for event in events)
    # And by DuckDB, all files of a class as one table.
    for class_uid in schemas:
        pattern = f"{folder}/ext/muster_{class_uid}/**/*.parquet"
        query = (
            "select count(*), count(distinct metadata.uid), sum((time is null)::int), min(class_uid), max(class_uid), "
            f"count(distinct eventDay) from read_parquet('{pattern}', hive_partitioning = true)"
        )
        ((count, _, without_time, first, last, _),) = duckdb.sql(query).fetchall()
        counted = sum(count for event, count in events.items() if json.loads(event)["class_uid"] == class_uid)
        assert (count, without_time, first, last) == (counted, 0, class_uid, class_uid), (class_uid, count)
    smallest = min(sizes)
    print(f"{sum(events.values())} events of classes {sorted(schemas)} in {len(files)} files; the smallest has {smallest}")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
