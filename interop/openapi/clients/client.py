"""The calls of clients.py, by the client that openapi-python-client generates.

usage: client.py ENDPOINT, with the folder of the package `chat` in PYTHONPATH
"""

import importlib
import json
import sys

from chat import AuthenticatedClient, models

API = "chat.api.google_chat_v_1_chat_service.google_chat_v_1_chat_service_"


def call(name, identity, **arguments):
    """Calls an operation. Returns the response, with what it was parsed into."""
    client = AuthenticatedClient(base_url=sys.argv[1], token=identity)
    return importlib.import_module(API + name).sync_detailed(client=client, **arguments)


def named(name):
    return models.GoogleChatV1Space(display_name=name, space_type=models.GoogleChatV1SpaceSpaceType.SPACE)


def card():
    link = models.GoogleAppsCardV1OpenLink(url="https://example.com/?a=1&b=2")
    button = models.GoogleAppsCardV1Button(
        text="Open",
        color=models.GoogleTypeColor(red=0.5),
        on_click=models.GoogleAppsCardV1OnClick(open_link=link),
    )
    section = models.GoogleAppsCardV1CardSection(
        header="What",
        widgets=[
            models.GoogleAppsCardV1Widget(text_paragraph=models.GoogleAppsCardV1TextParagraph(text="All <b>green</b>")),
            models.GoogleAppsCardV1Widget(button_list=models.GoogleAppsCardV1ButtonList(buttons=[button])),
        ],
    )
    header = models.GoogleAppsCardV1CardCardHeader(title="Deploy")
    content = models.GoogleAppsCardV1Card(header=header, sections=[section])
    return models.GoogleChatV1Message(
        text="Deployed", cards_v2=[models.GoogleChatV1CardWithId(card_id="deploy", card=content)]
    )


class Steps:
    space = None

    def create_a_space(self):
        made = call("create_space", ALICE, request_id="clients", body=named("Clients"))
        self.space = made.parsed.name.removeprefix("spaces/")
        return made

    def update_it(self):
        change = named("Clients & é")
        change.space_details = models.GoogleChatV1SpaceSpaceDetails(description="Day by day")
        return call("update_space", ALICE, space=self.space, update_mask="displayName,spaceDetails", body=change)

    def get_it(self):
        return call("get_space", ALICE, space=self.space)

    def list_spaces(self):
        return call("list_spaces", ALICE, page_size=10, filter_='spaceType = "SPACE"')

    def add_the_app(self):
        user = models.GoogleChatV1User(name="users/app", type_=models.GoogleChatV1UserType.BOT)
        return call("create_membership", ALICE, space=self.space, body=models.GoogleChatV1Membership(member=user))

    def post_a_card(self):
        option = models.GoogleChatV1CreateMessageRequestMessageReplyOption.REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD
        asked = {"request_id": "a card", "message_id": "client-card", "message_reply_option": option}
        return call("create_message", APP, space=self.space, body=card(), **asked)

    def get_the_message(self):
        return call("get_message", APP, space=self.space, message="client-card")

    def get_what_is_missing(self):
        return call("get_space", ALICE, space="none")

    def create_what_is_there(self):
        return call("create_space", ALICE, body=named("Clients & é"))

    def delete_the_message(self):
        return call("delete_message", APP, space=self.space, message="client-card")


ALICE, APP = "user:alice@example.com", "app"

if __name__ == "__main__":
    steps = Steps()
    for line in sys.stdin:
        response = getattr(steps, line.strip().replace(" ", "_"))()
        print(json.dumps({"status": response.status_code, "body": response.parsed.to_dict()}), flush=True)
