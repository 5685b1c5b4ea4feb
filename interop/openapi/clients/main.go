// The calls of clients.py, by the client that oapi-codegen generates.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"

	"openapi/api"
)

// What came of a call: the response, and its body as the types have it.
type outcome struct {
	response *http.Response
	success  any
	failure  *api.HttpError
}

func pointer[T any](value T) *T { return &value }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func client(endpoint, identity string) *api.ClientWithResponses {
	authorize := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+identity)
		return nil
	}
	return must(api.NewClientWithResponses(endpoint, api.WithRequestEditorFn(authorize)))
}

// The red of a color, which is a number or a text, as floats are in ProtoJSON.
func red() *api.GoogleTypeColor_Red {
	var red api.GoogleTypeColor_Red
	if err := red.FromGoogleTypeColorRed0(0.5); err != nil {
		panic(err)
	}
	return &red
}

func card() api.GoogleChatV1Message {
	button := api.GoogleAppsCardV1Button{
		Text:    pointer("Open"),
		Color:   &api.GoogleTypeColor{Red: red()},
		OnClick: &api.GoogleAppsCardV1OnClick{OpenLink: &api.GoogleAppsCardV1OpenLink{Url: pointer("https://example.com/?a=1&b=2")}},
	}
	widgets := []api.GoogleAppsCardV1Widget{
		{TextParagraph: &api.GoogleAppsCardV1TextParagraph{Text: pointer("All <b>green</b>")}},
		{ButtonList: &api.GoogleAppsCardV1ButtonList{Buttons: &[]api.GoogleAppsCardV1Button{button}}},
	}
	sections := []api.GoogleAppsCardV1CardSection{{Header: pointer("What"), Widgets: &widgets}}
	return api.GoogleChatV1Message{
		Text: pointer("Deployed"),
		CardsV2: &[]api.GoogleChatV1CardWithId{{
			CardId: pointer("deploy"),
			Card: &api.GoogleAppsCardV1Card{
				Header:   &api.GoogleAppsCardV1CardCardHeader{Title: pointer("Deploy")},
				Sections: &sections,
			},
		}},
	}
}

func main() {
	alice, app := client(os.Args[1], "user:alice@example.com"), client(os.Args[1], "app")
	ctx := context.Background()
	named := func(name string) api.GoogleChatV1Space {
		kind := api.GoogleChatV1SpaceSpaceType("SPACE")
		return api.GoogleChatV1Space{DisplayName: &name, SpaceType: &kind}
	}
	var space string
	steps := map[string]func() outcome{
		"create a space": func() outcome {
			params := api.GoogleChatV1ChatServiceCreateSpaceParams{RequestId: pointer("clients")}
			made := must(alice.GoogleChatV1ChatServiceCreateSpaceWithResponse(ctx, &params, named("Clients")))
			space = strings.TrimPrefix(*made.JSON200.Name, "spaces/")
			return outcome{made.HTTPResponse, made.JSON200, made.JSONDefault}
		},
		"update it": func() outcome {
			params := api.GoogleChatV1ChatServiceUpdateSpaceParams{UpdateMask: "displayName,spaceDetails"}
			change := named("Clients & é")
			change.SpaceDetails = &api.GoogleChatV1SpaceSpaceDetails{Description: pointer("Day by day")}
			made := must(alice.GoogleChatV1ChatServiceUpdateSpaceWithResponse(ctx, space, &params, change))
			return outcome{made.HTTPResponse, made.JSON200, made.JSONDefault}
		},
		"get it": func() outcome {
			got := must(alice.GoogleChatV1ChatServiceGetSpaceWithResponse(ctx, space, nil))
			return outcome{got.HTTPResponse, got.JSON200, got.JSONDefault}
		},
		"list spaces": func() outcome {
			params := api.GoogleChatV1ChatServiceListSpacesParams{PageSize: pointer[int32](10), Filter: pointer(`spaceType = "SPACE"`)}
			got := must(alice.GoogleChatV1ChatServiceListSpacesWithResponse(ctx, &params))
			return outcome{got.HTTPResponse, got.JSON200, got.JSONDefault}
		},
		"add the app": func() outcome {
			kind := api.GoogleChatV1UserType("BOT")
			member := api.GoogleChatV1Membership{Member: &api.GoogleChatV1User{Name: pointer("users/app"), Type: &kind}}
			made := must(alice.GoogleChatV1ChatServiceCreateMembershipWithResponse(ctx, space, nil, member))
			return outcome{made.HTTPResponse, made.JSON200, made.JSONDefault}
		},
		"post a card": func() outcome {
			option := api.GoogleChatV1CreateMessageRequestMessageReplyOption("REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD")
			params := api.GoogleChatV1ChatServiceCreateMessageParams{
				RequestId: pointer("a card"), MessageId: pointer("client-card"), MessageReplyOption: &option,
			}
			made := must(app.GoogleChatV1ChatServiceCreateMessageWithResponse(ctx, space, &params, card()))
			return outcome{made.HTTPResponse, made.JSON200, made.JSONDefault}
		},
		"get the message": func() outcome {
			got := must(app.GoogleChatV1ChatServiceGetMessageWithResponse(ctx, space, "client-card", nil))
			return outcome{got.HTTPResponse, got.JSON200, got.JSONDefault}
		},
		"get what is missing": func() outcome {
			got := must(alice.GoogleChatV1ChatServiceGetSpaceWithResponse(ctx, "none", nil))
			return outcome{got.HTTPResponse, got.JSON200, got.JSONDefault}
		},
		"create what is there": func() outcome {
			made := must(alice.GoogleChatV1ChatServiceCreateSpaceWithResponse(ctx, nil, named("Clients & é")))
			return outcome{made.HTTPResponse, made.JSON200, made.JSONDefault}
		},
		"delete the message": func() outcome {
			gone := must(app.GoogleChatV1ChatServiceDeleteMessageWithResponse(ctx, space, "client-card", nil))
			return outcome{gone.HTTPResponse, gone.JSON200, gone.JSONDefault}
		},
	}
	out := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		came := steps[lines.Text()]()
		body := came.success
		if came.failure != nil {
			body = came.failure
		}
		if err := out.Encode(map[string]any{"status": came.response.StatusCode, "body": body}); err != nil {
			panic(err)
		}
	}
}
