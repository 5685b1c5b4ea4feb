package main

import (
	"context"
	"fmt"

	"cloud.google.com/go/chat/apiv1/chatpb"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func stub(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: interop stub TABLE ENDPOINT TOKENS CERTIFICATE")
	}
	endpoint, certificate := args[1], args[3]
	var table table
	var tokens map[string]string
	for file, to := range map[string]any{args[0]: &table, args[2]: &tokens} {
		if err := read(file, to); err != nil {
			return err
		}
	}
	connection, err := connect(endpoint, certificate)
	if err != nil {
		return err
	}
	defer connection.Close()
	chat := chatpb.NewChatServiceClient(connection)
	return table.run(certificate, func(as, method string, text []byte) ([]byte, error) {
		ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+tokens[as])
		answer, err := invoke(ctx, chat, method, func(request any) error {
			return protojson.Unmarshal(text, request.(proto.Message))
		})
		if err == nil {
			return protojson.Marshal(answer)
		}
		if failure, ok := status.FromError(err); ok {
			return nil, described(failure)
		}
		return nil, err
	})
}

// described is what the client knows of an error.
func described(failure *status.Status) *refused {
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
	return &refused{code.Code_name[int32(failure.Code())], info.GetReason(), info.GetDomain(), metadata}
}
