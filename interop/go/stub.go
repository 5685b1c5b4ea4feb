package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"cloud.google.com/go/chat/apiv1/chatpb"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

type table struct {
	Steps []struct {
		ID, As, Method string
		Request, Set   json.RawMessage
		Save           map[string]string
	}
}

// call makes one call of the generated stub with a request of its type.
func call[Q any, P interface {
	*Q
	proto.Message
}, A proto.Message](method func(context.Context, P, ...grpc.CallOption) (A, error)) func(context.Context, []byte) (proto.Message, error) {
	return func(ctx context.Context, text []byte) (proto.Message, error) {
		request := P(new(Q))
		if err := protojson.Unmarshal(text, request); err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		return method(ctx, request)
	}
}

func stub(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: interop stub TABLE ENDPOINT TOKENS CERTIFICATE")
	}
	endpoint, certificate := args[1], args[3]
	var table table
	var tokens map[string]string
	for file, to := range map[string]any{args[0]: &table, args[2]: &tokens} {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, to); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	connection, err := connect(endpoint, certificate)
	if err != nil {
		return err
	}
	defer connection.Close()
	chat := chatpb.NewChatServiceClient(connection)
	methods := map[string]func(context.Context, []byte) (proto.Message, error){
		"CreateSpace":         call(chat.CreateSpace),
		"GetSpace":            call(chat.GetSpace),
		"ListSpaces":          call(chat.ListSpaces),
		"UpdateSpace":         call(chat.UpdateSpace),
		"DeleteSpace":         call(chat.DeleteSpace),
		"CompleteImportSpace": call(chat.CompleteImportSpace),
		"CreateMembership":    call(chat.CreateMembership),
		"ListMemberships":     call(chat.ListMemberships),
	}
	saved := map[string]string{}
	out := json.NewEncoder(os.Stdout)
	for _, step := range table.Steps {
		if step.Set != nil {
			if err := set(os.Getenv("EMULATOR")+"/emulator/settings", step.Set, certificate); err != nil {
				return err
			}
			continue
		}
		text := string(step.Request)
		for name, value := range saved {
			text = strings.ReplaceAll(text, "{"+name+"}", value)
		}
		ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+tokens[step.As])
		answer, err := methods[step.Method](ctx, []byte(text))
		outcome := map[string]any{"id": step.ID}
		if failure, ok := status.FromError(err); err == nil {
			text, err := protojson.Marshal(answer)
			if err != nil {
				return err
			}
			var fields map[string]any
			if err := json.Unmarshal(text, &fields); err != nil {
				return err
			}
			for name, field := range step.Save {
				saved[name] = fmt.Sprint(fields[field])
			}
			outcome["answer"] = fields
		} else if ok {
			outcome["error"] = described(failure)
		} else {
			return err
		}
		if err := out.Encode(outcome); err != nil {
			return err
		}
	}
	return nil
}

// described is what the client knows of an error.
func described(failure *status.Status) map[string]any {
	info := &errdetails.ErrorInfo{}
	for _, detail := range failure.Details() {
		if found, ok := detail.(*errdetails.ErrorInfo); ok {
			info = found
		}
	}
	metadata := info.GetMetadata()
	if metadata == nil {
		metadata = map[string]string{}
	}
	return map[string]any{
		"code":     code.Code_name[int32(failure.Code())],
		"reason":   info.GetReason(),
		"domain":   info.GetDomain(),
		"metadata": metadata,
	}
}

func set(url string, settings []byte, certificate string) error {
	var pool *x509.CertPool
	if strings.HasPrefix(url, "https://") {
		var err error
		if pool, err = trusted(certificate); err != nil {
			return err
		}
	}
	request, err := http.NewRequest(http.MethodPatch, url, bytes.NewReader(settings))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("%s: %s: %s", url, answer.Status, text)
	}
	return nil
}
