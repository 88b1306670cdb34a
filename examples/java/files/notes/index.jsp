<%@ page contentType="text/html; charset=UTF-8" import="java.nio.file.*" %>
<%! static final Path NOTES = Path.of("/var/lib/notes/notes.txt"); %>
<%
    // Notes in a file of the volume.
    request.setCharacterEncoding("UTF-8");
    String text = request.getParameter("text");
    if ("POST".equals(request.getMethod()) && text != null) {
        Files.writeString(NOTES, text.replace('\n', ' ') + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        response.sendRedirect(request.getContextPath() + "/");
        return;
    }
    java.util.List<String> notes = Files.exists(NOTES) ? Files.readAllLines(NOTES) : java.util.List.of();
%>
<!doctype html>
<html lang="en">
<title>Notes</title>
<h1>Notes</h1>
<ul>
<% for (String note : notes) { %>
<li><%= note.replace("&", "&amp;").replace("<", "&lt;") %></li>
<% } %>
</ul>
<form method="post"><input name="text"> <button>Add</button></form>
<p>Java <%= Runtime.version().feature() %></p>
