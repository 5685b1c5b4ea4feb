"""Google's own library for credentials, google-auth, goes through the emulator's servers of
identities with files as Google's tools write them, and gchat with the same files.

Usage: credentials.py GCHAT
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.parse

import google.auth
import google.auth.exceptions
import google.auth.impersonated_credentials
import google.auth.transport.requests
import requests

ACCOUNT = "chat-app@emulator.iam.gserviceaccount.com"
SCOPES = "https://www.googleapis.com/auth/"
APP, USER = SCOPES + "chat.app.spaces.create", SCOPES + "chat.spaces.create"
AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/github"
# {"sub":"repo:acme/rooms"}, of a provider that nobody asks for a signature.
SUBJECT_TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJyZXBvOmFjbWUvcm9vbXMifQ.c2lnbmF0dXJl"


class Rerouted(requests.adapters.HTTPAdapter):
    """Sends what is for Google to the emulator, as it is but for the host."""

    def send(self, request, **options):
        url = urllib.parse.urlsplit(request.url)
        assert url.hostname.endswith(".googleapis.com"), request.url
        request.url = emulator + urllib.parse.urlunsplit(url._replace(scheme="", netloc=""))
        return super().send(request, **options)


def transport():
    session = requests.Session()
    session.mount("https://", Rerouted())
    return google.auth.transport.requests.Request(session)


def settings(**changes):
    requests.patch(emulator + "/emulator/settings", json=changes).raise_for_status()




def create(name, credentials, scope):
    """Creates a space over REST with a token of google-auth's."""
    if scope is not None:
        credentials = google.auth.credentials.with_scopes_if_required(credentials, [scope])
    credentials.refresh(transport())
    headers = {}
    credentials.apply(headers)
    space = {"displayName": name, "spaceType": "SPACE", "customer": "customers/my_customer"}
    response = requests.post(emulator + "/v1/spaces?requestId=" + os.urandom(8).hex(), json=space, headers=headers)
    assert response.ok, f"{name}: {response.text}"
    users = response.json()["membershipCount"].get("joinedDirectHumanUserCount", 0)
    assert users == (1 if scope != APP else 0), f"{name}: {response.text}"
    print(f"ok  google-auth: {name}")


def gchat(name, file, *flags, **environment):
    """The same by gchat, with the same file."""
    command = [program, "spaces", "create", "--display-name", f"{name} by gchat", "--endpoint", emulator]
    command += ["--customer", "customers/my_customer"] if "--subject" not in flags and "user" not in name else []
    command += ["--credentials", file] if file else []
    done = subprocess.run(command + list(flags), capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, f"{name}: {done.stderr}"
    print(f"ok  gchat: {name}")


def login():
    """A user's refresh token, by the authorization endpoint, as gcloud gets one."""
    redirect = "http://localhost:1/"
    query = {
        "client_id": "rooms.apps.googleusercontent.com",
        "redirect_uri": redirect,
        "response_type": "code",
        "scope": f"{SCOPES}cloud-platform {USER}",
        "login_hint": "alice@example.com",
    }
    answer = requests.get(emulator + "/o/oauth2/v2/auth", params=query, allow_redirects=False)
    code = urllib.parse.parse_qs(urllib.parse.urlsplit(answer.headers["location"]).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "client_id": query["client_id"]}
    token = requests.post(emulator + "/token", data=form).json()
    return {
        "type": "authorized_user",
        "client_id": query["client_id"],
        "client_secret": "secret",
        "refresh_token": token["refresh_token"],
        "token_uri": emulator + "/token",
    }


def external(subject_token_type, source):
    return {
        "type": "external_account",
        "audience": AUDIENCE,
        "subject_token_type": "urn:ietf:params:" + subject_token_type,
        "token_url": emulator + "/v1/token",
        "credential_source": source,
        "service_account_impersonation_url": impersonation_url,
        # Not of Google's tools: where gchat is to have a user's token from.
        "token_uri": emulator + "/token",
    }


def files(folder):
    """Files of each kind, and the variables that they need."""
    token = os.path.join(folder, "token")
    with open(token, "w") as file:
        file.write(SUBJECT_TOKEN)
    script = os.path.join(folder, "print-token")
    with open(script, "w") as file:
        answer = {
            "version": 1,
            "success": True,
            "token_type": "urn:ietf:params:oauth:token-type:id_token",
            "id_token": SUBJECT_TOKEN,
        }
        file.write(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    os.chmod(script, 0o700)
    user = login()
    impersonated = {
        "type": "impersonated_service_account",
        "source_credentials": user,
        "service_account_impersonation_url": impersonation_url,
        "delegates": [],
        "token_uri": emulator + "/token",
    }
    verify = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
    aws = {"environment_id": "aws1", "regional_cred_verification_url": verify}
    keys = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDEMULATOR", "AWS_SECRET_ACCESS_KEY": "emulator-aws-secret"}
    return [
        ("a user's login", user, None, {}),
        ("an impersonated service account", impersonated, APP, {}),
        ("an external account: a file", external("oauth:token-type:jwt", {"file": token}), APP, {}),
        (
            "an external account: a program",
            external("oauth:token-type:id_token", {"executable": {"command": script, "timeout_millis": 5000}}),
            APP,
            {"GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES": "1"},
        ),
        ("an external account: AWS", external("aws:token-type:aws4_request", aws), APP, keys),
        (
            "an external account: AWS with a session",
            external("aws:token-type:aws4_request", aws),
            APP,
            {**keys, "AWS_SESSION_TOKEN": "a/session+token=="},
        ),
    ]


def refused(what, text, call):
    try:
        call()
    except google.auth.exceptions.GoogleAuthError as error:
        assert text in str(error), f"{what}: {error}"
        print(f"ok  google-auth: {what} is refused")
    else:
        raise AssertionError(f"{what} is not refused")


def main(folder):
    # google-auth would ask the Resource Manager for the project of a pool.
    os.environ["GOOGLE_CLOUD_PROJECT"] = "emulator"
    for at, (name, content, scope, environment) in enumerate(files(folder)):
        path = os.path.join(folder, f"{at}.json")
        with open(path, "w") as file:
            json.dump(content, file)
        os.environ.update(environment)
        os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = path
        credentials, _ = google.auth.default(scopes=[scope] if scope else None)
        create(name, credentials, scope)
        del os.environ["GOOGLE_APPLICATION_CREDENTIALS"]
        gchat(name, path, **environment)
        if scope:
            gchat(f"{name}, for a user", path, "--subject", "alice@example.com", **environment)
        for variable in environment:
            del os.environ[variable]

    del os.environ["GOOGLE_CLOUD_PROJECT"]
    # The metadata server, found as on a machine of Google's, and IAM for its account.
    host = urllib.parse.urlsplit(emulator).netloc
    os.environ.update({"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host, "HOME": folder})
    machine, project = google.auth.default(scopes=[SCOPES + "cloud-platform"])
    assert project == "emulator", project
    impersonated = lambda scope, **more: google.auth.impersonated_credentials.Credentials(
        source_credentials=machine, target_principal=ACCOUNT, target_scopes=[scope], **more
    )
    create("the metadata server", impersonated(APP), APP)
    # Domain-wide delegation without a key: signJwt, and the token endpoint.
    create("the metadata server, for a user", impersonated(USER, subject="alice@example.com"), USER)

    refresh = lambda **more: impersonated(USER, **more).refresh(transport())
    settings(tokenCreators=[])
    refused("who may not impersonate", "iam.serviceAccounts.getAccessToken", refresh)
    settings(tokenCreators=None, delegatedScopes=[])
    refused("what is not delegated", "unauthorized_client", lambda: refresh(subject="alice@example.com"))
    settings(delegatedScopes=None, metadataScopes=["devstorage.read_only"])
    machine.refresh(transport())
    refused("a token without the scope", "insufficient authentication scopes", refresh)
    settings(subjectTokens=[])
    pool, _ = google.auth.load_credentials_from_file(os.path.join(folder, "2.json"))
    pool = pool.with_scopes([APP])
    refused("an unknown subject token", "invalid_grant", lambda: pool.refresh(transport()))
    settings(login="reauthRequired")
    user, _ = google.auth.load_credentials_from_file(os.path.join(folder, "0.json"))
    refused("a login that has to be renewed", "Reauthentication is needed", lambda: user.refresh(transport()))


if __name__ == "__main__":
    program = os.path.abspath(sys.argv[1])
    for variable in ["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "HTTPS_PROXY", "https_proxy"]:
        os.environ.pop(variable, None)
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "emulator", "--listen", "127.0.0.1:0", "--require-credentials"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            emulator = server.stdout.readline().split()[-1]
            impersonation_url = f"{emulator}/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
            try:
                main(folder)
            finally:
                server.terminate()
