"""Reads the images of an unpacked bundle as scanners of vulnerabilities do, and compares with its bundle.json.

Trivy and Syft look at the files of an image alone: the distribution in etc/os-release and etc/debian_version; packages in
var/lib/dpkg/status.d, one stanza of a control file each, whose files are those in NAME.md5sums beside it; distributions of Python
in METADATA and RECORD of folders *.dist-info.
"""

import base64, csv, email, hashlib, io, json, re, sys, tarfile

bundle = sys.argv[1]


def blob(digest):
    return f"{bundle}/blobs/{digest.replace(':', '/')}"


def files(layers):
    """The regular files and links of an image by path: bytes, or the target of a link."""
    found = {}
    for layer in layers:
        with tarfile.open(blob(layer), "r:*") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if member.isfile():
                    found[name] = tar.extractfile(member).read()
                elif member.islnk():
                    found[name] = found[member.linkname.removeprefix("./")]
                elif member.issym():
                    found[name] = member.linkname
    return found


def stanza(text):
    """As Trivy and Syft: the fields that name the package, and the source package that advisories are about."""
    fields = email.message_from_string(text)
    assert "Status" not in fields or fields["Status"].startswith("install ok installed"), fields["Status"]
    source = fields.get("Source", fields["Package"])
    match = re.fullmatch(r"(\S+)(?: \((\S+)\))?", source)
    return fields["Package"], fields["Version"], fields["Architecture"], match[1], match[2] or fields["Version"]


def check(image, manifest):
    tree = files([layer["digest"] for layer in image["layers"]])
    system = dict(re.findall(r'^(\w+)="?([^"\n]*)', tree["usr/lib/os-release"].decode(), re.M))
    assert system["ID"] == "debian" and tree["etc/debian_version"].strip(), system
    status = {n.rsplit("/", 1)[1]: t for n, t in tree.items() if n.startswith("var/lib/dpkg/status.d/")}
    found = {stanza(text.decode()) for name, text in status.items() if not name.endswith(".md5sums")}
    packages = [package for package in manifest["packages"] if package["name"] in image["packages"]]
    source = lambda package: package.get("source") or {"name": package["name"], "version": package["version"]}
    listed = {(p["name"], p["version"], p["architecture"], source(p)["name"], source(p)["version"]) for p in packages}
    assert found == listed, (image["name"], found ^ listed)

    # What a scanner says belongs to a package is there with these bytes, or was left out by the profile.
    sums = 0
    for name, text in status.items():
        for line in text.decode().splitlines() if name.endswith(".md5sums") else []:
            md5, path = line.split("  ", 1)
            content = tree.get(path) or tree.get("usr/" + path)
            if isinstance(content, bytes):
                assert hashlib.md5(content).hexdigest() == md5, (image["name"], path)
                sums += 1

    distributions = set()
    for name in tree:
        if not re.fullmatch(r"(?:.*/)?site-packages/[^/]+\.dist-info/METADATA", name):
            continue
        fields = email.message_from_bytes(tree[name])
        distributions.add((normal(fields["Name"]), fields["Version"]))
        folder = name.rsplit("/", 2)[0]
        for path, digest, size in csv.reader(io.StringIO(tree[name.replace("METADATA", "RECORD")].decode())):
            content = tree.get(f"{folder}/{path}")
            if digest and isinstance(content, bytes):
                own = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                assert digest == f"sha256={own}" and int(size) == len(content), (name, path)
    wheels = [wheel for wheel in manifest["wheels"] if wheel["file"] in image.get("wheels", [])]
    listed = {(normal(wheel["name"]), wheel["version"]) for wheel in wheels}
    assert distributions == listed, (image["name"], distributions ^ listed)
    return len(found), sums, len(distributions)


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


manifest = json.load(open(f"{bundle}/bundle.json"))
total = [sum(column) for column in zip(*(check(image, manifest) for image in manifest["images"]))]
print(*total)
