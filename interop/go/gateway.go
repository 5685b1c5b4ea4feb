package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"cloud.google.com/go/chat/apiv1/chatpb"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/grpclog"

	"interop/kinds"
)

// gateway serves the handlers that protoc-gen-grpc-gateway generates, with the options
// that grpc-gateway has unless told otherwise.
func gateway(args []string) error {
	if len(args) != 1 && len(args) != 2 {
		return fmt.Errorf("usage: interop gateway BACKEND [CERTIFICATE]")
	}
	// It would log what random calls are there to find.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	connection, err := connect(args[0], append(args, "")[1])
	if err != nil {
		return err
	}
	mux := runtime.NewServeMux()
	if err := chatpb.RegisterChatServiceHandler(context.Background(), mux, connection); err != nil {
		return err
	}
	if err := kinds.RegisterKindsHandler(context.Background(), mux, connection); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("listening at http://%s\n", listener.Addr())
	return http.Serve(listener, mux)
}
