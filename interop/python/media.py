"""Google's Python client of the discovery document, google-api-python-client, uploads attachments to
an emulator and downloads them: media.py GCHAT FOLDER.

It is the one of Google's clients that can: those that are generated from the protos have no field for
the bytes.
"""

import io
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import google_auth_httplib2
import googleapiclient
import httplib2
from google.oauth2 import service_account
from googleapiclient import discovery, errors
from googleapiclient.http import MediaIoBaseDownload, MediaIoBaseUpload
from servers import Emulator

SCOPES = ["chat.spaces.create", "chat.messages.create", "chat.messages.readonly"]
GRAIN = 256 * 1024


def client(emulator):
    """The client, at the emulator's address, as a user."""
    documents = pathlib.Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    document = json.loads((documents / "chat.v1.json").read_text())
    # The addresses of uploads are made of this one, whatever endpoint the client is given.
    document["rootUrl"] = document["baseUrl"] = emulator.endpoint + "/"
    document.pop("mtlsRootUrl", None)
    scopes = ["https://www.googleapis.com/auth/" + scope for scope in SCOPES]
    credentials = service_account.Credentials.from_service_account_file(emulator.key, scopes=scopes)
    trusting = httplib2.Http(ca_certs=str(emulator.certificate))
    # 308 says how far an upload is. The client sets this where it makes its own Http.
    trusting.redirect_codes = trusting.redirect_codes - {308}
    http = google_auth_httplib2.AuthorizedHttp(credentials.with_subject("alice@example.com"), http=trusting)
    return discovery.build_from_document(document, http=http), trusting


def upload(chat, space, content, resumable, **options):
    media = MediaIoBaseUpload(io.BytesIO(content), mimetype="text/plain", resumable=resumable, **options)
    return chat.media().upload(parent=space, body={"filename": "report.txt"}, media_body=media)


def in_parts(request):
    """Sends the parts, and goes on after those that fail. Returns the response and the progress."""
    progress, response = [], None
    for _ in range(50):
        try:
            status, response = request.next_chunk()
        except (errors.HttpError, OSError, httplib2.HttpLib2Error):
            continue
        if response is not None:
            return response, progress
        progress.append(status.resumable_progress)
    raise SystemExit("media: the upload does not end")


def download(chat, data_ref, chunk):
    target = io.BytesIO()
    name = data_ref["resourceName"]
    request = MediaIoBaseDownload(target, chat.media().download_media(resourceName=name), chunksize=chunk)
    done = False
    while not done:
        _, done = request.next_chunk()
    return target.getvalue()


def main(gchat, folder):
    with Emulator(gchat, folder) as emulator:
        chat, http = client(emulator)
        space = chat.spaces().create(body={"displayName": "Launch room", "spaceType": "SPACE"}).execute()["name"]
        content = os.urandom(3 * GRAIN + 17)

        # A line feed at the end, and lines that look like the boundaries of parts.
        for small in [b"", b"abc", b"abc\r\n", b"--\n--==\n\r"]:
            data_ref = upload(chat, space, small, False).execute()["attachmentDataRef"]
            if small:
                assert download(chat, data_ref, GRAIN) == small, small
        message = chat.spaces().messages().create(
            parent=space, body={"text": "The report", "attachment": [{"attachmentDataRef": data_ref}]}
        ).execute()
        assert message["attachment"][0]["contentName"] == "report.txt", message

        response, progress = in_parts(upload(chat, space, content, True, chunksize=GRAIN))
        assert progress == [GRAIN, 2 * GRAIN, 3 * GRAIN], progress
        assert download(chat, response["attachmentDataRef"], 100_000) == content

        # The session begins, a part arrives, and then the connection breaks in each of these ways.
        for fault in [{"cutOff": {"after": 2 * GRAIN}}, "resetBefore", "resetAfter", "unavailable", "html"]:
            body = json.dumps({"next": [{"latency": 0}, {"latency": 0}, fault]})
            # Without the token, which is for the API.
            headers = {"content-type": "application/json"}
            assert http.request(f"{emulator.endpoint}/emulator/faults", "POST", body, headers)[0].status == 200
            response, progress = in_parts(upload(chat, space, content, True, chunksize=GRAIN))
            assert download(chat, response["attachmentDataRef"], GRAIN) == content, fault
            assert progress[-1] >= 2 * GRAIN, (fault, progress)
    print("media: google-api-python-client uploads at once and in parts, over connections that break, and downloads")


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
