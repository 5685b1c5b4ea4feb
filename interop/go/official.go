package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/chat/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
)

// fields are those of a request, in ProtoJSON. What a call takes in its path or as its body
// is taken out of them; what is left are its query parameters.
type fields map[string]json.RawMessage

// name takes a text out.
func (f fields) name(field string) string {
	var text string
	json.Unmarshal(f[field], &text)
	delete(f, field)
	return text
}

// take takes a message out.
func take[T any](f fields, field string) *T {
	message := new(T)
	json.Unmarshal(f[field], message)
	delete(f, field)
	return message
}

// all takes everything, as the message that is the body.
func all[T any](f fields) *T {
	text, _ := json.Marshal(f)
	clear(f)
	message := new(T)
	json.Unmarshal(text, message)
	return message
}

// calls are how the methods are called.
var calls = map[string]func(c *chat.Service, f fields) any{
	"CreateSpace":       func(c *chat.Service, f fields) any { return c.Spaces.Create(take[chat.Space](f, "space")) },
	"SetUpSpace":        func(c *chat.Service, f fields) any { return c.Spaces.Setup(all[chat.SetUpSpaceRequest](f)) },
	"GetSpace":          func(c *chat.Service, f fields) any { return c.Spaces.Get(f.name("name")) },
	"ListSpaces":        func(c *chat.Service, f fields) any { return c.Spaces.List() },
	"SearchSpaces":      func(c *chat.Service, f fields) any { return c.Spaces.Search() },
	"FindDirectMessage": func(c *chat.Service, f fields) any { return c.Spaces.FindDirectMessage() },
	"FindGroupChats":    func(c *chat.Service, f fields) any { return c.Spaces.FindGroupChats() },
	"DeleteSpace":       func(c *chat.Service, f fields) any { return c.Spaces.Delete(f.name("name")) },
	"GetMembership":     func(c *chat.Service, f fields) any { return c.Spaces.Members.Get(f.name("name")) },
	"ListMemberships":   func(c *chat.Service, f fields) any { return c.Spaces.Members.List(f.name("parent")) },
	"DeleteMembership":  func(c *chat.Service, f fields) any { return c.Spaces.Members.Delete(f.name("name")) },
	"GetMessage":        func(c *chat.Service, f fields) any { return c.Spaces.Messages.Get(f.name("name")) },
	"ListMessages":      func(c *chat.Service, f fields) any { return c.Spaces.Messages.List(f.name("parent")) },
	"DeleteMessage":     func(c *chat.Service, f fields) any { return c.Spaces.Messages.Delete(f.name("name")) },
	"GetAttachment":     func(c *chat.Service, f fields) any { return c.Spaces.Messages.Attachments.Get(f.name("name")) },
	"ListReactions":     func(c *chat.Service, f fields) any { return c.Spaces.Messages.Reactions.List(f.name("parent")) },
	"DeleteReaction":    func(c *chat.Service, f fields) any { return c.Spaces.Messages.Reactions.Delete(f.name("name")) },
	"ListMessagePins":   func(c *chat.Service, f fields) any { return c.Spaces.MessagePins.List(f.name("parent")) },
	"DeleteMessagePin":  func(c *chat.Service, f fields) any { return c.Spaces.MessagePins.Delete(f.name("name")) },
	"GetSpaceReadState": func(c *chat.Service, f fields) any { return c.Users.Spaces.GetSpaceReadState(f.name("name")) },
	"CompleteImportSpace": func(c *chat.Service, f fields) any {
		return c.Spaces.CompleteImport(f.name("name"), &chat.CompleteImportSpaceRequest{})
	},
	"UpdateSpace": func(c *chat.Service, f fields) any {
		space := take[chat.Space](f, "space")
		return c.Spaces.Patch(space.Name, space)
	},
	"CreateMembership": func(c *chat.Service, f fields) any {
		return c.Spaces.Members.Create(f.name("parent"), take[chat.Membership](f, "membership"))
	},
	"UpdateMembership": func(c *chat.Service, f fields) any {
		membership := take[chat.Membership](f, "membership")
		return c.Spaces.Members.Patch(membership.Name, membership)
	},
	"CreateMessage": func(c *chat.Service, f fields) any {
		return c.Spaces.Messages.Create(f.name("parent"), take[chat.Message](f, "message"))
	},
	"UpdateMessage": func(c *chat.Service, f fields) any {
		message := take[chat.Message](f, "message")
		return c.Spaces.Messages.Patch(message.Name, message)
	},
	"CreateReaction": func(c *chat.Service, f fields) any {
		return c.Spaces.Messages.Reactions.Create(f.name("parent"), take[chat.Reaction](f, "reaction"))
	},
	"CreateMessagePin": func(c *chat.Service, f fields) any {
		return c.Spaces.MessagePins.Create(f.name("parent"), take[chat.MessagePin](f, "messagePin"))
	},
	"UpdateSpaceReadState": func(c *chat.Service, f fields) any {
		state := take[chat.SpaceReadState](f, "spaceReadState")
		return c.Users.Spaces.UpdateSpaceReadState(state.Name, state)
	},
}

// do sets the query parameters of a call, each by the call's method for it, and makes it.
func do(call any, parameters fields) (any, error) {
	value := reflect.ValueOf(call)
	for name, text := range parameters {
		set := value.MethodByName(strings.ToUpper(name[:1]) + name[1:])
		if !set.IsValid() {
			return nil, fmt.Errorf("%T has no parameter %s", call, name)
		}
		argument := reflect.New(set.Type().In(0))
		if err := json.Unmarshal(text, argument.Interface()); err != nil {
			return nil, fmt.Errorf("%T, parameter %s: %w", call, name, err)
		}
		if set.Type().IsVariadic() {
			set.CallSlice([]reflect.Value{argument.Elem()})
		} else {
			set.Call([]reflect.Value{argument.Elem()})
		}
	}
	results := value.MethodByName("Do").Call(nil)
	if err, failed := results[1].Interface().(error); failed {
		return nil, err
	}
	return results[0].Interface(), nil
}

// official runs the table with Google's Go client of the discovery document, which has
// HTTP/JSON alone.
func official(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: interop official TABLE ENDPOINT KEY CERTIFICATE")
	}
	endpoint, certificate := args[1], args[3]
	var table table
	if err := read(args[0], &table); err != nil {
		return err
	}
	key, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	trusting, err := client(os.Getenv("EMULATOR"), certificate)
	if err != nil {
		return err
	}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, trusting)
	clients := map[string]*chat.Service{}
	for name, identity := range table.Identities {
		config, err := google.JWTConfigFromJSON(key)
		if err != nil {
			return err
		}
		config.Subject = identity.Subject
		for _, scope := range identity.Scopes {
			config.Scopes = append(config.Scopes, "https://www.googleapis.com/auth/"+scope)
		}
		clients[name], err = chat.NewService(ctx, option.WithHTTPClient(config.Client(ctx)), option.WithEndpoint(endpoint))
		if err != nil {
			return err
		}
	}
	return table.run(certificate, func(as, method string, request []byte) ([]byte, error) {
		var fields fields
		if err := json.Unmarshal(request, &fields); err != nil {
			return nil, err
		}
		call := calls[method]
		if call == nil {
			return nil, fmt.Errorf("no call of %s is known", method)
		}
		answer, err := do(call(clients[as], fields), fields)
		if err != nil {
			return nil, ofBody(err)
		}
		return json.Marshal(answer)
	})
}

// ofBody is the error that a response's body has: the client has its code as HTTP's alone.
func ofBody(err error) error {
	var failure *googleapi.Error
	if !errors.As(err, &failure) {
		return err
	}
	var body struct {
		Error struct {
			Status  string
			Details []refused
		}
	}
	if json.Unmarshal([]byte(failure.Body), &body) != nil || body.Error.Status == "" {
		return err
	}
	found := &refused{Code: body.Error.Status, Metadata: map[string]string{}}
	for _, detail := range body.Error.Details {
		if detail.Reason != "" {
			*found = detail
			found.Code = body.Error.Status
		}
	}
	if found.Metadata == nil {
		found.Metadata = map[string]string{}
	}
	return found
}
