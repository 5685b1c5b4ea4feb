import com.google.api.gax.core.FixedCredentialsProvider;
import com.google.api.gax.rpc.ApiException;
import com.google.api.gax.rpc.UnaryCallable;
import com.google.auth.oauth2.GoogleCredentials;
import com.google.auth.oauth2.ServiceAccountCredentials;
import com.google.chat.v1.ChatServiceClient;
import com.google.chat.v1.ChatServiceSettings;
import com.google.chat.v1.CompleteImportSpaceRequest;
import com.google.chat.v1.CreateMembershipRequest;
import com.google.chat.v1.CreateSpaceRequest;
import com.google.chat.v1.DeleteSpaceRequest;
import com.google.chat.v1.GetSpaceRequest;
import com.google.chat.v1.ListMembershipsRequest;
import com.google.chat.v1.ListSpacesRequest;
import com.google.chat.v1.UpdateSpaceRequest;
import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Runs the table of calls with Google's own Java client, google-cloud-chat.
 *
 * <p>Usage: Official TABLE ENDPOINT KEY grpc|http. Prints a line of JSON for each call: its id, and
 * the answer or the error. The certificate comes from javax.net.ssl.trustStore.
 */
public final class Official {
  private static final String SCOPE = "https://www.googleapis.com/auth/";

  private interface Call {
    Message make(ChatServiceClient client, String json) throws Exception;
  }

  private static <Q extends Message, A extends Message> A call(
      UnaryCallable<Q, A> callable, Message.Builder builder, String json) throws Exception {
    JsonFormat.parser().merge(json, builder);
    @SuppressWarnings("unchecked")
    Q request = (Q) builder.build();
    return callable.call(request);
  }

  private static final Map<String, Call> CALLS =
      Map.of(
          "CreateSpace", (c, json) -> call(c.createSpaceCallable(), CreateSpaceRequest.newBuilder(), json),
          "GetSpace", (c, json) -> call(c.getSpaceCallable(), GetSpaceRequest.newBuilder(), json),
          "ListSpaces", (c, json) -> call(c.listSpacesCallable(), ListSpacesRequest.newBuilder(), json),
          "UpdateSpace", (c, json) -> call(c.updateSpaceCallable(), UpdateSpaceRequest.newBuilder(), json),
          "DeleteSpace", (c, json) -> call(c.deleteSpaceCallable(), DeleteSpaceRequest.newBuilder(), json),
          "CompleteImportSpace",
              (c, json) -> call(c.completeImportSpaceCallable(), CompleteImportSpaceRequest.newBuilder(), json),
          "CreateMembership",
              (c, json) -> call(c.createMembershipCallable(), CreateMembershipRequest.newBuilder(), json),
          "ListMemberships",
              (c, json) -> call(c.listMembershipsCallable(), ListMembershipsRequest.newBuilder(), json));

  public static void main(String[] args) throws Exception {
    JsonObject table = JsonParser.parseString(Files.readString(Path.of(args[0]))).getAsJsonObject();
    URI endpoint = URI.create(args[1]);
    Map<String, ChatServiceClient> clients = new HashMap<>();
    for (Map.Entry<String, JsonElement> entry : table.getAsJsonObject("identities").entrySet()) {
      JsonObject identity = entry.getValue().getAsJsonObject();
      List<String> scopes = new ArrayList<>();
      identity.getAsJsonArray("scopes").forEach(scope -> scopes.add(SCOPE + scope.getAsString()));
      GoogleCredentials credentials;
      try (FileInputStream key = new FileInputStream(args[2])) {
        credentials = ServiceAccountCredentials.fromStream(key).createScoped(scopes);
      }
      if (identity.has("subject")) {
        credentials = credentials.createDelegated(identity.get("subject").getAsString());
      }
      ChatServiceSettings.Builder settings =
          args[3].equals("grpc") ? ChatServiceSettings.newBuilder() : ChatServiceSettings.newHttpJsonBuilder();
      settings
          .setEndpoint(endpoint.getHost() + ":" + endpoint.getPort())
          .setCredentialsProvider(FixedCredentialsProvider.create(credentials));
      settings.applyToAllUnaryMethods(
          method -> {
            method.setRetryableCodes();
            return null;
          });
      clients.put(entry.getKey(), ChatServiceClient.create(settings.build()));
    }

    Map<String, String> saved = new HashMap<>();
    for (JsonElement element : table.getAsJsonArray("steps")) {
      JsonObject step = element.getAsJsonObject();
      if (step.has("set")) {
        set(endpoint.resolve("/emulator/settings"), step.get("set").toString());
        continue;
      }
      String json = step.get("request").toString();
      for (Map.Entry<String, String> value : saved.entrySet()) {
        json = json.replace("{" + value.getKey() + "}", value.getValue());
      }
      JsonObject outcome = new JsonObject();
      outcome.add("id", step.get("id"));
      try {
        Message made =
            CALLS.get(step.get("method").getAsString()).make(clients.get(step.get("as").getAsString()), json);
        JsonObject answer = JsonParser.parseString(JsonFormat.printer().print(made)).getAsJsonObject();
        if (step.has("save")) {
          step.getAsJsonObject("save")
              .entrySet()
              .forEach(entry -> saved.put(entry.getKey(), answer.get(entry.getValue().getAsString()).getAsString()));
        }
        outcome.add("answer", answer);
      } catch (ApiException error) {
        outcome.add("error", described(error));
      }
      System.out.println(new Gson().toJson(outcome));
    }
    // The clients' threads would keep the program.
    System.exit(0);
  }

  /** What the client knows of an error. */
  private static JsonObject described(ApiException error) {
    JsonObject described = new JsonObject();
    described.addProperty("code", error.getStatusCode().getCode().name());
    described.addProperty("reason", error.getReason() == null ? "" : error.getReason());
    described.addProperty("domain", error.getDomain() == null ? "" : error.getDomain());
    described.add("metadata", new Gson().toJsonTree(error.getMetadata() == null ? Map.of() : error.getMetadata()));
    return described;
  }

  private static void set(URI uri, String settings) throws Exception {
    HttpRequest request =
        HttpRequest.newBuilder(uri).method("PATCH", HttpRequest.BodyPublishers.ofString(settings)).build();
    HttpResponse<String> answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
    if (answer.statusCode() != 200) {
      throw new IllegalStateException(answer.body());
    }
  }

  private Official() {}
}
