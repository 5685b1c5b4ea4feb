// The calls of clients.py, by openapi-fetch and the types of openapi-typescript.

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Schemas = components["schemas"];

const bearer = (identity: string) =>
  createClient<paths>({ baseUrl: process.argv[2], headers: { Authorization: `Bearer ${identity}` } });
const alice = bearer("user:alice@example.com");
const app = bearer("app");

const card: Schemas["google.chat.v1.Message"] = {
  text: "Deployed",
  cardsV2: [
    {
      cardId: "deploy",
      card: {
        header: { title: "Deploy" },
        sections: [
          {
            header: "What",
            widgets: [
              { textParagraph: { text: "All <b>green</b>" } },
              {
                buttonList: {
                  buttons: [
                    {
                      text: "Open",
                      color: { red: 0.5 },
                      onClick: { openLink: { url: "https://example.com/?a=1&b=2" } },
                    },
                  ],
                },
              },
            ],
          },
        ],
      },
    },
  ],
};

let space = "";
const message = "client-card";

const steps = {
  "create a space": async () => {
    const query = { requestId: "clients" };
    const made = await alice.POST("/v1/spaces", {
      params: { query },
      body: { displayName: "Clients", spaceType: "SPACE" },
    });
    space = made.data?.name?.replace("spaces/", "") ?? "";
    return made;
  },
  "update it": () =>
    alice.PATCH("/v1/spaces/{space}", {
      params: { path: { space }, query: { updateMask: "displayName,spaceDetails" } },
      body: { displayName: "Clients & é", spaceType: "SPACE", spaceDetails: { description: "Day by day" } },
    }),
  "get it": () => alice.GET("/v1/spaces/{space}", { params: { path: { space } } }),
  "list spaces": () =>
    alice.GET("/v1/spaces", { params: { query: { pageSize: 10, filter: 'spaceType = "SPACE"' } } }),
  "add the app": () =>
    alice.POST("/v1/spaces/{space}/members", {
      params: { path: { space } },
      body: { member: { name: "users/app", type: "BOT" } },
    }),
  "post a card": () =>
    app.POST("/v1/spaces/{space}/messages", {
      params: {
        path: { space },
        query: {
          requestId: "a card",
          messageId: message,
          messageReplyOption: "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD",
        },
      },
      body: card,
    }),
  "get the message": () =>
    app.GET("/v1/spaces/{space}/messages/{message}", { params: { path: { space, message } } }),
  "get what is missing": () => alice.GET("/v1/spaces/{space}", { params: { path: { space: "none" } } }),
  "create what is there": () =>
    alice.POST("/v1/spaces", { body: { displayName: "Clients & é", spaceType: "SPACE" } }),
  "delete the message": () =>
    app.DELETE("/v1/spaces/{space}/messages/{message}", { params: { path: { space, message } } }),
};

for await (const line of (await import("node:readline")).createInterface(process.stdin)) {
  const { response, data, error } = await steps[line as keyof typeof steps]();
  console.log(JSON.stringify({ status: response.status, body: data ?? error }));
}
