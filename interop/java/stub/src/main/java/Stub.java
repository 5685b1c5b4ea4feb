import com.google.chat.v1.ChatServiceGrpc;
import com.google.chat.v1.CompleteImportSpaceRequest;
import com.google.chat.v1.CreateMembershipRequest;
import com.google.chat.v1.CreateSpaceRequest;
import com.google.chat.v1.DeleteSpaceRequest;
import com.google.chat.v1.GetSpaceRequest;
import com.google.chat.v1.ListMembershipsRequest;
import com.google.chat.v1.ListSpacesRequest;
import com.google.chat.v1.UpdateSpaceRequest;
import com.google.gson.JsonObject;
import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import com.google.rpc.ErrorInfo;
import io.grpc.CallCredentials;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import java.net.URI;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.function.BiFunction;
import java.util.function.Supplier;

/**
 * Runs the table of calls with the stub that grpc-java generates from our protos.
 *
 * <p>Usage: Stub TABLE ENDPOINT TOKENS, by a file with a token for each identity. Prints a line of
 * JSON for each call: its id, and the answer or the error. The certificate comes from
 * javax.net.ssl.trustStore.
 */
public final class Stub {
  private interface Call {
    Message make(ChatServiceGrpc.ChatServiceBlockingStub stub, String json) throws Exception;
  }

  private static <Q extends Message> Call call(
      Supplier<Message.Builder> builder, BiFunction<ChatServiceGrpc.ChatServiceBlockingStub, Q, Message> method) {
    return (stub, json) -> {
      Message.Builder request = builder.get();
      JsonFormat.parser().merge(json, request);
      @SuppressWarnings("unchecked")
      Q built = (Q) request.build();
      return method.apply(stub, built);
    };
  }

  private static final Map<String, Call> CALLS =
      Map.of(
          "CreateSpace",
          Stub.<CreateSpaceRequest>call(CreateSpaceRequest::newBuilder, (stub, request) -> stub.createSpace(request)),
          "GetSpace",
          Stub.<GetSpaceRequest>call(GetSpaceRequest::newBuilder, (stub, request) -> stub.getSpace(request)),
          "ListSpaces",
          Stub.<ListSpacesRequest>call(ListSpacesRequest::newBuilder, (stub, request) -> stub.listSpaces(request)),
          "UpdateSpace",
          Stub.<UpdateSpaceRequest>call(UpdateSpaceRequest::newBuilder, (stub, request) -> stub.updateSpace(request)),
          "DeleteSpace",
          Stub.<DeleteSpaceRequest>call(DeleteSpaceRequest::newBuilder, (stub, request) -> stub.deleteSpace(request)),
          "CompleteImportSpace",
          Stub.<CompleteImportSpaceRequest>call(
              CompleteImportSpaceRequest::newBuilder, (stub, request) -> stub.completeImportSpace(request)),
          "CreateMembership",
          Stub.<CreateMembershipRequest>call(
              CreateMembershipRequest::newBuilder, (stub, request) -> stub.createMembership(request)),
          "ListMemberships",
          Stub.<ListMembershipsRequest>call(
              ListMembershipsRequest::newBuilder, (stub, request) -> stub.listMemberships(request)));

  public static void main(String[] args) throws Exception {
    URI endpoint = URI.create(args[1]);
    JsonObject tokens = Table.read(args[2]);
    ChannelCredentials credentials =
        endpoint.getScheme().equals("http") ? InsecureChannelCredentials.create() : TlsChannelCredentials.create();
    ManagedChannel channel = Grpc.newChannelBuilder(endpoint.getAuthority(), credentials).build();
    ChatServiceGrpc.ChatServiceBlockingStub stub = ChatServiceGrpc.newBlockingStub(channel);
    Table.run(
        Table.read(args[0]),
        URI.create(System.getenv("EMULATOR")),
        (identity, method, request) ->
            CALLS.get(method).make(stub.withCallCredentials(new Bearer(tokens.get(identity).getAsString())), request),
        Stub::described);
    channel.shutdownNow();
  }

  private static JsonObject described(Exception thrown) throws Exception {
    if (!(thrown instanceof StatusRuntimeException)) {
      throw thrown;
    }
    StatusRuntimeException error = (StatusRuntimeException) thrown;
    ErrorInfo info = ErrorInfo.getDefaultInstance();
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        info = detail.unpack(ErrorInfo.class);
      }
    }
    String code = error.getStatus().getCode().name();
    return Table.error(code, info.getReason(), info.getDomain(), info.getMetadataMap());
  }

  private static final class Bearer extends CallCredentials {
    private final String token;

    Bearer(String token) {
      this.token = token;
    }

    @Override
    public void applyRequestMetadata(RequestInfo info, Executor executor, MetadataApplier applier) {
      Metadata metadata = new Metadata();
      metadata.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
      applier.apply(metadata);
    }
  }

  private Stub() {}
}
